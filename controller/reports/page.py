"""The page of a run: one file of HTML that opens offline, on paper, on a phone, in light and in dark."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from controller.domain.slo import WINDOW_ARRIVALS
from controller.reports import decision_tables, page_tables
from controller.reports.glossary import definitions, glossary
from controller.reports.headline import expectations, forecast_error, headline, subline
from controller.reports.latency_plot import latency_figure
from controller.reports.panels import both_sizes
from controller.reports.plots import arrivals_figure, instances_figure
from controller.reports.prose import prose
from controller.reports.settings_plot import forecasts_figure, settings_figure, strips_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controller.reports.drawing import Drawing
    from controller.reports.findings import Report
    from controller.reports.panels import Sheet

NOTHING_FROM_OUTSIDE = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content security policy: even if a name slipped through unescaped, no script would run and nothing be fetched."""


def style() -> str:
    """Return the style of every page."""
    folder = files("controller.reports")
    return (folder / "ink.css").read_text(encoding="utf-8") + (folder / "page.css").read_text(encoding="utf-8")


def document(title: str, body: str) -> str:
    """Return a whole HTML document around a body that is already escaped."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_FROM_OUTSIDE}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{prose(title)}</title>'
        f"<style>{style()}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def section(name: str, title: str, *parts: str) -> str:
    """Return a section with its heading."""
    inner = "\n".join(part for part in parts if part)
    heading = f'<h2 id="{name}-title">{prose(title)}</h2>'
    return f'\n<section id="{name}" aria-labelledby="{name}-title">{heading}\n{inner}</section>'


def invalid_notice(reasons: Sequence[str]) -> str:
    """Return the red box of a run that must not be trusted; nothing for a valid one."""
    if not reasons:
        return ""
    lines = "".join(f"<li>{prose(reason)}</li>" for reason in reasons)
    return (
        '<div class="invalid" role="alert"><strong>This run is invalid; do not trust its figures.</strong>'
        f"<ul>{lines}</ul></div>"
    )


def run_page(report: Report) -> str:
    """Return the page of a demo or of one run."""
    sub = subline(report)
    head = (
        f'<header><p class="kicker">tidegate report · {prose(report.name)}</p>{invalid_notice(report.why_invalid)}'
        f"<h1>{prose(headline(report))}</h1>" + (f'<p class="sub">{prose(sub)}</p>' if sub else "") + "</header>"
    )
    has_runs = report.main.run is not None and report.main.figures.requests > 0
    sections = [
        section("verdict", "Verdict", page_tables.verdict(report)),
        *(_over_time(report) if has_runs else ()),
        _decisions(report),
        _forecasts(report),
        section("cost", "Cost", page_tables.costs(report), _not_included()),
        section("measured", "How this was measured", _facts(report)),
        section("words", "Words", definitions(glossary(report.slo))),
    ]
    foot = "<footer>The same figures for machines are in report.json, beside this page.</footer>"
    return document(f"tidegate · {report.name}", head + "".join(sections) + foot)


def _figure(report: Report, draw: Callable[[Report, Sheet], Drawing], caption: str) -> str:
    picture = both_sizes(lambda paper: draw(report, paper), report.horizon_s)
    return f"<figure>{picture}<figcaption>{prose(caption)}</figcaption></figure>"


def _over_time(report: Report) -> list[str]:
    q = f"p{report.slo.quantile * 100:g}"
    changes = "Thin red lines are alarms, bold ones regime changes."
    truth = " Black marks on top show where the law of the schedule really changed." if report.phases_s else ""
    lost = any(column.figures.unanswered for column in report.columns)
    strip = " The strip on top holds requests without a right answer." if lost else ""
    return [
        section("arrivals", "Arrivals", _figure(report, arrivals_figure, changes + truth)),
        section(
            "latency",
            "Latency against the objective",
            _figure(
                report,
                latency_figure,
                f"Each dot is a request, on a logarithmic scale; red ones were late. The line is the {q} of the last "
                f"{WINDOW_ARRIVALS} arrivals: where it is above the dashed bound, shaded red, windows violate.{strip}",
            ),
        ),
        section(
            "instances",
            "Instances",
            _figure(
                report,
                instances_figure,
                "Filled: ready instances; thin line: with those that are starting. A triangle marks each cold start.",
            ),
        ),
    ]


def _decisions(report: Report) -> str:
    if not report.decisions and not report.applied:
        return section(
            "decisions", "Settings and decisions", "<p>No controller decided here: the setting was fixed.</p>"
        )
    caption = "Marks show changes: thin ones hot, thicker ones warm, thick ones slow."
    picture = _figure(report, settings_figure, caption) if strips_of(report) else "<p>No setting was changed.</p>"
    return section("decisions", "Settings and decisions", picture, decision_tables.decisions(report))


def _forecasts(report: Report) -> str:
    title = "Predicted against observed"
    expected = "".join(f"<p>{prose(sentence)}</p>" for sentence in expectations(report))
    if not report.forecasts:
        return section("forecasts", title, expected or "<p>Nothing was predicted, so nothing can be compared.</p>")
    return section(
        "forecasts",
        title,
        f"<p>{prose(forecast_error(report))}</p>",
        expected,
        _figure(
            report,
            forecasts_figure,
            "Thick grey: what a decision promised; blue: what was observed until the next decision.",
        ),
        decision_tables.forecasts(report),
    )


def _not_included() -> str:
    return (
        '<p class="quiet">Every second between the start and the stop of an instance is paid, busy or not. Not '
        "included: the activator and the load generator, which all columns need alike; the memory of a controller, "
        "which serves many services (its CPU time is paid); storage, traffic and taxes.</p>"
    )


def _facts(report: Report) -> str:
    verdict = "valid" if not report.why_invalid else f"invalid: {'; '.join(report.why_invalid)}"
    return definitions((*report.facts, ("this run", verdict)))
