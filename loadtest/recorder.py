"""Joins what the generators did into the results of the run, and writes them down."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, cast

from controller.domain.request_log import write_request_log
from controller.errors import BadInputError
from loadtest.outcomes import Outcomes, request_rows
from loadtest.report import load_document
from loadtest.validity import GeneratorFigures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from controller.domain.request_log import RequestClass, RequestRow
    from loadtest.generator import Share
    from loadtest.options import LoadOptions
    from loadtest.report import LoadDocument


def record(
    options: LoadOptions, shares: Sequence[Share], *, started_at: float, workers: int, trouble: str | None = None
) -> LoadDocument | None:
    """Write requests.csv and load.json; an interrupted run's rows go to requests.interrupted.csv instead.

    Args:
        options: of the run.
        shares: what the generators reported.
        started_at: wall clock of time zero.
        workers: how many generators there were, heard of or not.
        trouble: why the run ended early, if it did.

    Returns:
        load.json, or None when the run ended before anything was due: then nothing is written.

    Raises:
        BadInputError: a file cannot be written.
    """
    rows = _rows(options, shares, workers)
    figures = GeneratorFigures(
        cpu_s=sum(share["cpu_s"] for share in shares),
        cpu_share=max((share["cpu_s"] / max(share["elapsed_s"], 1e-6) for share in shares), default=0.0),
        skipped=sum(share["skipped"] for share in shares),
        elapsed_s=max((share["elapsed_s"] for share in shares), default=0.0),
        workers=workers,
        priority=", ".join(sorted({share["priority"] for share in shares})) or "none ran",
        reasons=sum((Counter(share["reasons"]) for share in shares), Counter[str]()),
        trouble=trouble,
    )
    if trouble:
        rows = [row for row in rows if row.intended_s <= figures.elapsed_s]
        if not rows:
            return None
    document = load_document(rows, figures, options, started_at=started_at)
    name = "requests.interrupted.csv" if trouble else "requests.csv"
    options.folder.write(name, lambda path: write_request_log(path, rows))
    try:
        options.folder.write("load.json", lambda path: _write_json(path, document))
    except BadInputError:
        # Rows without a word on their validity could be mistaken for a result.
        (options.folder.path / name).unlink(missing_ok=True)
        raise
    return document


def _rows(options: LoadOptions, shares: Sequence[Share], workers: int) -> list[RequestRow]:
    merged = Outcomes.none_yet(len(options.schedule))
    for share in shares:
        place = slice(share["worker"], None, workers)
        merged.sent_s[place] = share["sent_s"]
        merged.done_s[place] = share["done_s"]
        merged.status[place] = share["status"]
        merged.request_class[place] = cast("list[RequestClass]", share["request_class"])
    return list(request_rows(options.schedule, merged, warm_up_s=options.warm_up_s))


def _write_json(path: Path, document: LoadDocument) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
