"""The server's errors: each that answers a request owns its HTTP status; a start that cannot work is a StartError.

ServingError
├── InvalidInputError     400  the body, a header or a field breaks a rule
├── NotFoundError         404  no such route or model
├── WrongMethodError      405
├── TooLargeError         413
├── QueueFullError        429  try again after `retry_after_s`
├── WorkerDiedError       500  the worker was killed twice under this request
├── RuntimeFailedError    500  the network could not be run on this request alone
├── UnavailableError      503  draining
└── DeadlineError         504  the deadline passed before it cost any compute
StartError                     exit code 2: settings, model folder or port
"""

from typing import ClassVar


class ServingError(Exception):
    """An answer other than 200: `status` is the HTTP status, `reason` the word in headers and metrics."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "error"


class InvalidInputError(ServingError):
    """The message names the field, the rule and what came instead."""

    status = 400
    reason = "invalid-input"


class NotFoundError(ServingError):
    """No such route or model."""

    status = 404
    reason = "not-found"


class WrongMethodError(ServingError):
    """The route exists, for another method."""

    status = 405
    reason = "wrong-method"

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


class TooLargeError(ServingError):
    """The body is larger than the server reads."""

    status = 413
    reason = "too-large"


class QueueFullError(ServingError):
    """The bounded queue has no room for all instances of the request."""

    status = 429
    reason = "queue-full"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkerDiedError(ServingError):
    """The worker process ended while it held the request, and so did the one of the second attempt."""

    reason = "worker-died"


class RuntimeFailedError(ServingError):
    """The network raised an error on this request alone."""

    reason = "runtime-failed"


class UnavailableError(ServingError):
    """The server is draining: it finishes what it has and takes nothing new."""

    status = 503
    reason = "draining"


class DeadlineError(ServingError):
    """The request's deadline passed while it waited in the queue."""

    status = 504
    reason = "deadline"


class StartError(Exception):
    """The server cannot start: one line that names what, where and the remedy."""
