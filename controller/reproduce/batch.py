"""`tidegate reproduce batch`: BATCH (Ali et al., SC 2020), published, reproduced and beside ours."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from controller.domain.prices import load_prices
from controller.reports.latency_plot import window_quantiles
from controller.reports.whole_file import write_whole
from controller.reproduce import batch_facts as facts
from controller.reproduce.batch_contest import (
    DESIGNS,
    LARGEST,
    OURS,
    PICKED,
    PUBLISHED,
    SECOND,
    SERVICES,
    outcome_rows,
    requirements,
)
from controller.reproduce.batch_figures import contest_figure, day_figure
from controller.reproduce.batch_pods import POD_DESIGNS, STRETCH_S, pod_outcomes
from controller.reproduce.batch_rows import law_rows, search_rows
from controller.reproduce.instance_rows import instance_rows
from controller.reproduce.overheads import overhead_rows
from controller.reproduce.rows import Done, Reproduction, Row
from controller.reproduce.streams import Purpose, stream
from controller.reproduce.table import contest_table, published_table, requirement_table
from controller.reproduce.traces import TRACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from controller.reproduce.batch_contest import Bout, Outcome

PAPER = "batch"
STEPS = len(TRACES) * len(SERVICES) * (len(DESIGNS) + len(POD_DESIGNS))
"""What the progress counts."""
SHOWN_TRACE, SHOWN_SERVICE = "NYS-like", facts.LIGHT.name
"""The day that is drawn."""


def reproduce(folder: Path, contest: Iterable[Bout], *, seed: int, tell: Callable[[str], None]) -> Done:
    """Run everything and write the figures.

    Args:
        folder: that exists.
        contest: traces with services, such as `bouts` yields; the day that is drawn must be among them.
        seed: of the simulations that check the laws.
        tell: called before each step with what it is; there are `STEPS`.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    outcomes: list[Outcome] = []
    beside_pods: list[Outcome] = []
    figures = ["batch-contest.svg"]
    for bout in contest:
        windows: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]] = {}
        for design, verdict in bout.verdicts(partial(_tell_step, tell, bout)):
            outcomes.append(bout.outcome(design, verdict))
            if design in (OURS, PUBLISHED):
                trial = bout.trial
                at_s, quantile_s = window_quantiles(trial.judged, verdict.latency_s, trial.slo.quantile)
                windows[design] = (at_s, quantile_s, verdict.window_violation_ratio)
        beside_pods += pod_outcomes(bout, partial(_tell_step, tell, bout))
        if _is_shown(bout):
            write_whole(folder / "batch-day.svg", day_figure(bout, windows))
            figures.append("batch-day.svg")
    write_whole(folder / "batch-contest.svg", contest_figure(outcomes))
    of_laws, of_instances = stream(seed, Purpose.BATCH_LAWS), stream(seed, Purpose.BATCH_INSTANCES)
    claims = [*law_rows(of_laws), *search_rows(), *_claim_rows(outcomes), *instance_rows(of_instances)]
    required = requirements(outcomes)
    pods = f"the last {STRETCH_S / 60:g} minutes, beside pods\n{contest_table(beside_pods, OURS, over='over ours')}"
    text = "\n\n".join((published_table(claims), contest_table(outcomes, SECOND), pods, requirement_table(required)))
    rows = [*claims, *outcome_rows(outcomes), *outcome_rows(beside_pods, stretch=f", last {STRETCH_S / 60:g} min")]
    return Done(Reproduction(PAPER, rows, required, figures), text)


def _tell_step(tell: Callable[[str], None], bout: Bout, design: str) -> None:
    tell(f"{bout.traffic.name}, {bout.service.name}: {design}")


def _is_shown(bout: Bout) -> bool:
    return (bout.traffic.name, bout.service.name) == (SHOWN_TRACE, SHOWN_SERVICE)


def _claim_rows(outcomes: list[Outcome]) -> Iterator[Row]:
    """Yield the paper's claims about a whole day: saving, time to decide, cost of deciding."""
    trace, service = SHOWN_TRACE, facts.RESNET.name
    day = {each.design: each for each in outcomes if (each.trace, each.service) == (trace, service)}
    theirs, ours = day[PUBLISHED], day[OURS]
    for design in (LARGEST, PICKED):
        unbatched = day[design].usd_per_million
        yield Row(
            quantity=f"cost saved against {design}",
            unit="%",
            design=PUBLISHED,
            published=facts.SAVING_PERCENT,
            reproduced=100 * (1 - theirs.usd_per_million / unbatched),
            ours=100 * (1 - ours.usd_per_million / unbatched),
            trace=trace,
            service=service,
        )
    yield Row(
        quantity="time of one decision, fit included",
        unit="s",
        design=PUBLISHED,
        published=facts.DECISION_S,
        reproduced=theirs.compute_s,
        ours=ours.compute_s,
        trace=trace,
        service=service,
    )
    cpu_usd = load_prices().cluster.vcpu_second_usd
    yield Row(
        quantity="cost of deciding, a day",
        unit="USD",
        design=PUBLISHED,
        published=facts.HOST_USD_A_DAY,
        reproduced=theirs.compute_s_a_day * cpu_usd,
        ours=ours.compute_s_a_day * cpu_usd,
        trace=trace,
        service=service,
    )
    yield from overhead_rows(PUBLISHED, deciding_s_a_day=ours.compute_s_a_day)
