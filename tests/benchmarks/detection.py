"""Changes found by our detectors and by published ones, on series whose changes are known.

    python tests/benchmarks/detection.py                  # thirty series for each judged seed
    python tests/benchmarks/detection.py --seeds 1 2      # others; constants were chosen on 1000 to 1002
    python tests/benchmarks/detection.py --methods ours   # those whose name has this in it

Reported, never asserted. Each method has fixed parameters (controller/baselines/change_detectors.py), and what it names
is scored alike (change_scores.py): F1 and covering are means over series, the first of all and the second of the same
by group; delay is the median, over changes noticed within 300 s, of seconds until an alarm; false alarms are an hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict

import numpy as np

from controller.baselines.change_detectors import IN_HINDSIGHT, ONLINE, Method
from controller.baselines.change_scores import Score, score
from controller.baselines.count_series import PLAN, CountSeries, draw_series

JUDGED_SEEDS = range(7000, 7005)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(JUDGED_SEEDS))
    parser.add_argument("--methods", default="", help="only methods whose name has this in it")
    options = parser.parse_args()
    series = [each for seed in options.seeds for each in draw_series(seed)]
    say(f"{len(series)} series, {sum(len(each.changes) for each in series)} changes; F1 of all, by group; the rest")
    groups = [f"{kind} {word(is_modulated)}" for kind, is_modulated, _ in PLAN]
    say(" " * 28 + "   all  " + "  ".join(groups) + "  cover  delay  missed  false/h  (modulated)  µs/bin")
    for title, methods in (("online", ONLINE), ("in hindsight", IN_HINDSIGHT)):
        say(title)
        for name, method in methods.items():
            if options.methods in name:
                report(name, method, series, groups, is_online=methods is ONLINE)


def report(name: str, method: Method, series: list[CountSeries], groups: list[str], *, is_online: bool) -> None:
    began_s = time.process_time()
    scores = [score(method(each.counts), each.changes, each.counts.size) for each in series]
    bin_us = (time.process_time() - began_s) / sum(each.counts.size for each in series) * 1e6
    by_group: dict[str, list[Score]] = defaultdict(list)
    for each, reached in zip(series, scores, strict=True):
        by_group[f"{each.kind} {word(each.is_modulated)}"].append(reached)
        by_group[word(each.is_modulated)].append(reached)
    f1 = "  ".join(f"{np.mean([each.f1 for each in by_group[group]]):{len(group)}.3f}" for group in groups)
    line = f"  {name:26s} {np.mean([each.f1 for each in scores]):.3f}  {f1}  {np.mean([s.cover for s in scores]):.3f}"
    if is_online:
        delays = [delay for each in scores for delay in each.delays_bins]
        missed = sum(each.missed for each in scores)
        false = [np.mean([each.false_alarms for each in by_group[word(group)]]) for group in (False, True)]
        delay = np.median(delays) if delays else np.nan
        line += f"  {delay:5.0f}  {missed / (missed + len(delays)):6.0%}  {false[0]:7.2f}  {false[1]:11.2f}"
    else:
        line += " " * 37
    say(f"{line}  {bin_us:6.0f}")


def word(is_modulated: bool) -> str:
    return "modulated" if is_modulated else "independent"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
