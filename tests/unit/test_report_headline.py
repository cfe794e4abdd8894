"""The sentence on top says what happened, also when it is bad."""

from dataclasses import replace

import pytest

from controller.reports.column import Column
from controller.reports.findings import Report
from controller.reports.headline import headline, subline
from controller.reports.report import build_report
from controller.reports.sample import write_sample
from controller.reports.tables import verdict_table


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Report:
    folder = tmp_path_factory.mktemp("runs") / "demo-1"
    write_sample(folder)
    return build_report(folder)


def with_figures(report: Report, **figures) -> Report:
    """Figures of the columns by name: cost_per_million_usd, window_violation_ratio, requests."""

    def changed(column: Column) -> Column:
        return replace(column, figures=replace(column.figures, **figures.get(column.name, {})))

    return replace(report, columns=tuple(changed(column) for column in report.columns))


def figures(violating: float, cost_usd: float) -> dict[str, float]:
    return {"window_violation_ratio": violating, "cost_per_million_usd": cost_usd}


def test_a_good_run_says_what_it_kept_and_what_it_saved(sample):
    report = with_figures(sample, tidegate=figures(0.013, 0.42), defaults=figures(0.0, 0.608))

    assert headline(report) == (
        "tidegate kept 98.7 % of windows inside p95 ≤ 1 s at $0.420 per million requests, "
        "31 % less than the untuned defaults."
    )


def test_a_run_that_did_not_hold_says_so_first(sample):
    report = with_figures(sample, tidegate=figures(0.09, 0.4), defaults=figures(0.01, 0.5))

    assert headline(report) == (
        "tidegate missed the objective: 91 % of windows inside p95 ≤ 1 s, where 95 % are needed, at $0.400 per million "
        "requests, 20 % less than the untuned defaults, which held it with 99 %."
    )


def test_a_run_that_did_not_save_says_more(sample):
    report = with_figures(sample, tidegate=figures(0.0, 0.55), defaults=figures(0.2, 0.5))

    assert headline(report).endswith("10 % more than the untuned defaults, which kept only 80 %.")


def test_a_difference_below_one_per_cent_is_called_the_same(sample):
    report = with_figures(sample, tidegate=figures(0.0, 0.5), defaults=figures(0.0, 0.502))

    assert headline(report).endswith("per million requests, the same as the untuned defaults.")


def test_a_run_without_requests_is_not_judged(sample):
    assert "nothing to judge" in headline(with_figures(sample, tidegate={"requests": 0}))


def test_the_best_fixed_setting_has_a_sentence_of_its_own(sample):
    report = with_figures(sample, best_fixed=figures(0.02, 0.39))

    assert subline(report) == "The best fixed setting, chosen in hindsight and run live, kept 98 % at $0.390."


def test_a_grid_without_a_setting_that_holds_is_said_to_have_none(sample):
    report = replace(with_figures(sample, best_fixed=figures(0.2, 0.39)), expected={"best_fixed": {"feasible": False}})

    assert subline(report).startswith(
        "No fixed setting of the grid was predicted to hold; the nearest, run live, kept 80 %"
    )


def test_the_table_of_the_terminal_fits_80_columns_and_has_no_colour_for_a_file(sample):
    table = verdict_table(sample)

    assert max(map(len, table.splitlines())) <= 80
    assert "\x1b" not in table
    assert "missed" in table


def test_the_table_of_the_terminal_says_when_a_run_is_invalid(sample):
    report = replace(sample, why_invalid=("tidegate: the load generator was late",))

    table = verdict_table(report, is_terminal=True)

    assert table.startswith("\x1b[31mINVALID: tidegate: the load generator was late")
