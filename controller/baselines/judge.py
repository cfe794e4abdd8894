"""Run a policy over a trace and say what came of it: one judge and one rule for published systems, oracles and ours.

The objective is window attainment (docs/decisions/0003-windows-slide.md): the share of windows of 256 consecutive
arrivals in which more than 256 (1 - q) answers are late. Latency is the wait in the buffer plus the time of the call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from controller.baselines.protocol import Past
from controller.baselines.replay import replay
from controller.domain.slo import window_violation_ratio
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from controller.baselines.call_table import CallTable
    from controller.baselines.protocol import Policy
    from controller.domain.slo import LatencySlo
    from controller.performance_model.prediction import TimerSetting

SettingT_co = TypeVar("SettingT_co", covariant=True)
FORGIVEN_S = 1e-9
"""A setting may sit exactly on the bound, and instants late in a day carry rounding errors of 1e-11 s."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What every policy meets.

    Attributes:
        arrival_s: shape (n,), ascending.
        from_s: arrivals before it are history: policies know them, nobody is judged on them.
        until_s: end; later arrivals are left out.
        calls: time and price of a call.
        slo: the objective.
        luck: seed of the noise of calls, where they have any.
    """

    arrival_s: NDArray[np.float64]
    from_s: float
    until_s: float
    calls: CallTable
    slo: LatencySlo
    luck: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.from_s < self.until_s < math.inf:
            raise BadInputError(f"trial: needs 0 <= from_s < until_s, got {self.from_s:g} and {self.until_s:g}")
        if self.arrival_s.ndim != 1 or not np.isfinite(self.arrival_s).all() or (np.diff(self.arrival_s) < 0).any():
            raise BadInputError("trial: needs finite arrival instants in ascending order; sort them")
        if not self.judged.size:
            raise BadInputError(f"trial: no arrival between {self.from_s:g} and {self.until_s:g} s; record longer")

    @property
    def judged(self) -> NDArray[np.float64]:
        """Arrivals in [from_s, until_s)."""
        low, high = np.searchsorted(self.arrival_s, [self.from_s, self.until_s])
        return self.arrival_s[low:high]


@dataclass(frozen=True, slots=True)
class Answer(Generic[SettingT_co]):
    """What a policy said when it was asked.

    Attributes:
        at_s: when.
        setting: in force from then on.
        compute_s: how long it took to answer.
        is_decision: whether it decided, or only looked on.
    """

    at_s: float
    setting: SettingT_co
    compute_s: float
    is_decision: bool


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What came of a policy.

    Attributes:
        latency_s: shape (n_judged,), in order of arrival.
        cost_per_request_usd: mean.
        mean_batch_size: requests a call.
        window_violation_ratio: share of windows that violate the objective.
        answers: oldest first; the first is at the trial's `from_s`.
    """

    latency_s: NDArray[np.float64]
    cost_per_request_usd: float
    mean_batch_size: float
    window_violation_ratio: float
    answers: tuple[Answer[object], ...]

    def quantile_s(self, quantile: float) -> float:
        """Return the smallest latency that this share of the requests does not exceed."""
        return float(np.quantile(self.latency_s, quantile, method="inverted_cdf"))

    @property
    def changes(self) -> list[tuple[float, object]]:
        """Each setting with when it came into force, the first one included."""
        return changes_of(self.answers)

    @property
    def compute_s(self) -> float:
        """Mean time of one decision; answers that only look on are not among them. 0 where nothing was decided."""
        times = self._decision_times_s
        return sum(times) / max(1, len(times))

    @property
    def longest_compute_s(self) -> float:
        """Time of the longest decision; often the first, which fills tables that later ones look up."""
        return max(self._decision_times_s, default=0.0)

    @property
    def _decision_times_s(self) -> list[float]:
        return [each.compute_s for each in self.answers if each.is_decision]


def judge(policy: Policy, trial: Trial, *, clock: Callable[[], float] = perf_counter) -> Verdict:
    """Ask a policy from `from_s` on, replay its settings, and look at every request.

    A setting holds from the moment of the question: the time to decide is reported and not charged, because BATCH's
    hour, beside which it would tell, can be spent on computing ahead.

    Raises:
        BadInputError: a policy without a positive period, or a setting that the call table does not have.
    """
    answers = _ask(policy, trial, clock)
    changes = changes_of(answers)
    arrival_s = trial.judged
    batches = replay(arrival_s, changes)
    rows = np.array([trial.calls.row(setting) for _, setting in changes])[batches.change]
    made = trial.calls.make(rows, batches.size, np.random.default_rng(trial.luck))
    latency_s = batches.latency_s(arrival_s, made.seconds)
    late = latency_s > trial.slo.bound_s + FORGIVEN_S
    return Verdict(
        latency_s=latency_s,
        cost_per_request_usd=float(made.usd.sum()) / arrival_s.size,
        mean_batch_size=float(batches.size.mean()),
        window_violation_ratio=window_violation_ratio(late, trial.slo.quantile),
        answers=answers,
    )


def changes_of(answers: tuple[Answer[SettingT_co], ...]) -> list[tuple[float, SettingT_co]]:
    """Return the answers that changed the setting, the first one included."""
    found = [(answers[0].at_s, answers[0].setting)]
    for each in answers[1:]:
        if each.setting != found[-1][1]:
            found.append((each.at_s, each.setting))
    return found


def times_of(period_s: float, trial: Trial) -> list[float]:
    """Return when a policy with this period is asked.

    Raises:
        BadInputError: a period that is not positive.
    """
    if not period_s > 0:
        raise BadInputError(f"policy: needs a positive period in seconds, got {period_s!r}")
    if not math.isfinite(period_s):
        return [trial.from_s]
    n = math.ceil((trial.until_s - trial.from_s) / period_s - 1e-9)
    return [trial.from_s + k * period_s for k in range(n)]


def _ask(policy: Policy, trial: Trial, clock: Callable[[], float]) -> tuple[Answer[TimerSetting], ...]:
    times = times_of(policy.period_s, trial)
    ends = np.searchsorted(trial.arrival_s, times, side="left").tolist()
    present = trial.calls.unbatched
    answers: list[Answer[TimerSetting]] = []
    for at_s, end in zip(times, ends, strict=True):
        began_s = clock()
        decided = policy.decide(Past(at_s, trial.arrival_s[:end], present))
        present = present if decided is None else decided
        answers.append(Answer(at_s, present, clock() - began_s, decided is not None))
    return tuple(answers)
