"""What can go wrong in the controller, and the exit code each error owns.

TidegateError
    BadInputError        a file, flag or document that cannot be used (exit 2)
    NothingFeasibleError no setting meets the objective (exit 3)
    RunInvalidError      a run whose figures must not be trusted (exit 4)
    TrialError           one trial of a sweep has come to nothing; the sweep goes on
    TemporaryError       the outside world failed; the outermost loop may try again (exit 1)

A message says what is wrong, where, the value received and the remedy.
"""


class TidegateError(Exception):
    """Base of all errors a user may see; never shown with a traceback."""

    exit_code = 1


class BadInputError(TidegateError):
    """Input that cannot be used."""

    exit_code = 2


class NothingFeasibleError(TidegateError):
    """No setting inside the bounds meets the objective."""

    exit_code = 3


class RunInvalidError(TidegateError):
    """The measurement itself failed, for example because the load generator was late."""

    exit_code = 4


class TrialError(TidegateError):
    """A trial has come to nothing, for a reason that lies in its setting or its service."""


class TemporaryError(TidegateError):
    """The outside world failed in a way that may pass."""
