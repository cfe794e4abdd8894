"""What one core serves: read from a run that asked for more."""

import math

import numpy as np
import pytest

from controller.domain.request_log import RequestLog
from controller.sweeps.capacity import FILLING_S, FULL_S, answers_and_arrivals_rps


def log_of(intended_s, done_s, request_class):
    n = len(intended_s)
    return RequestLog(
        intended_s=np.array(intended_s),
        sent_s=np.array(intended_s),
        done_s=np.array(done_s),
        status=np.full(n, 200),
        request_class=np.array(request_class),
        tokens=np.full(n, 20),
    )


def test_answers_are_counted_when_they_come_and_arrivals_when_they_were_meant():
    arrivals_s = np.arange(0.0, FULL_S, 0.01)
    done_s = 2 * arrivals_s + 0.005  # the core gives half of what is asked, so answers come after the end too
    answers, arrivals = answers_and_arrivals_rps(log_of(arrivals_s, done_s, ["ok"] * arrivals_s.size))
    assert arrivals == pytest.approx(100, rel=0.01)
    assert answers == pytest.approx(50, rel=0.01)


def test_refused_requests_are_no_answers():
    arrivals_s = [FILLING_S + 0.5, FILLING_S + 0.6, FILLING_S + 0.7]
    done_s = [FILLING_S + 0.55, FILLING_S + 0.65, math.nan]
    answers, arrivals = answers_and_arrivals_rps(log_of(arrivals_s, done_s, ["ok", "rejected", "error"]))
    assert (answers, arrivals) == (1 / (FULL_S - FILLING_S), 3 / (FULL_S - FILLING_S))
