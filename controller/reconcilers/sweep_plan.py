"""What a Sweep does next, and when it is over, by its document and its trials alone (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from controller.errors import BadInputError
from controller.reconcilers.resources import API_VERSION
from controller.sweeps.from_cluster import arrivals_hash, is_ended, parameters_text, record_of, setting_of, sweep_of
from controller.sweeps.runner import is_out_of_patience, planned_trials, propose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.platforms.owned import Owner
    from controller.sweeps.parameters import Setting
    from controller.sweeps.sweep_document import Sweep

SWEEP_LABEL = "tidegate.dev/sweep"
Phase = Literal["Complete", "Failed", "Cancelled"]


class Ended(NamedTuple):
    """How a sweep ends: its last phase, the reason as one word, and in words."""

    phase: Phase
    reason: str
    message: str


def last_word(document: Mapping[str, Any], arrivals: str | None) -> Ended | None:
    """Return how a sweep ends by what its document says, whatever its trials are; None where it goes on.

    Args:
        document: of the Sweep.
        arrivals: hash of those that it began with; None where it has not begun.
    """
    if arrivals not in (None, arrivals_hash(document)):
        why = "spec.workload.arrivals was changed; trials of two workloads cannot be compared, so make another Sweep"
        return Ended("Failed", "ArrivalsChanged", why)
    try:
        planned_trials(sweep_of(document))
    except BadInputError as error:
        return Ended("Failed", "InvalidSpec", str(error))
    return Ended("Cancelled", "Cancelled", "spec.cancel is true") if document["spec"].get("cancel") else None


def next_step(sweep: Sweep, trials: Sequence[Mapping[str, Any]]) -> Setting | Ended:
    """Return the setting of the next trial, or how the sweep ends when those that run have ended.

    Args:
        sweep: what is run.
        trials: its SweepTrials by rising number, those that run included.
    """
    records = [record_of(each) for each in trials if is_ended(each)]
    pending = [setting_of(each["spec"]["parameters"]) for each in trials if not is_ended(each)]
    broken = [each for each in records if each.state != "Complete"]
    if len(broken) > sweep.max_failed_trials:
        last = broken[-1]
        why = (
            f"{len(broken)} of {len(records)} trials failed or were invalid, more than maxFailedTrials "
            f"{sweep.max_failed_trials}; the last one, {last.number:03}: {last.why}"
        )
        return Ended("Failed", "TooManyFailures", why)
    if len(trials) >= planned_trials(sweep):
        return Ended("Complete", "AllTrialsDone", "all trials are done")
    if is_out_of_patience(sweep, records):
        return Ended("Complete", "OutOfPatience", f"no better setting in {sweep.patience} trials")
    return propose(sweep, records, pending) or Ended("Complete", "NoFurtherSetting", "there is no further setting")


def trial_document(
    sweep: Sweep, number: int, setting: Setting, *, target: Mapping[str, Any], owner: Owner
) -> dict[str, Any]:
    """Return the SweepTrial that measures a setting.

    Args:
        sweep: that it is of.
        number: of the trial.
        setting: that it measures.
        target: reference to the service.
        owner: the Sweep.
    """
    labels = {SWEEP_LABEL: sweep.name, "app.kubernetes.io/managed-by": "tidegate"}
    return {
        "apiVersion": API_VERSION,
        "kind": "SweepTrial",
        "metadata": {
            "name": f"{sweep.name}-{number:03}",
            "labels": labels,
            "ownerReferences": [owner.reference()],
        },
        "spec": {
            "sweep": sweep.name,
            "number": number,
            "targetRef": dict(target),
            "parameters": parameters_text(sweep, setting),
        },
    }
