"""The pen: scales, thinning and broken lines."""

import numpy as np
import pytest

from controller.reports.drawing import Drawing, Scale, steps, thin
from controller.reports.settings_plot import log_ticks


def test_a_logarithmic_scale_gives_each_decade_the_same_room():
    scale = Scale(0.001, 10.0, 0.0, 400.0, is_log=True)

    assert scale.px([0.001, 0.01, 1.0, 10.0]).tolist() == pytest.approx([0, 100, 300, 400])
    assert scale.ticks(5) == pytest.approx([0.001, 0.01, 0.1, 1.0, 10.0])


def test_values_outside_a_scale_are_clipped_to_its_edge():
    assert Scale(0.0, 10.0, 0.0, 100.0).px([-5, 50, np.inf]).tolist() == [0, 100, 100]


@pytest.mark.parametrize(("high", "ticks"), [(178.0, [0, 50, 100, 150]), (1.0, [0, 0.5, 1.0]), (0.0, [0.0])])
def test_ticks_are_round_numbers(high, ticks):
    assert Scale(0.0, high, 0.0, 1.0).ticks(4) == pytest.approx(ticks)


def test_a_narrow_logarithmic_scale_still_has_ticks():
    assert len(log_ticks(Scale(0.31, 0.36, 0.0, 1.0, is_log=True))) >= 2


def test_time_is_divided_as_people_count_it():
    assert Scale(0.0, 600.0, 0.0, 1.0).time_ticks(11) == [60.0 * i for i in range(11)]


def test_thinning_keeps_a_dot_where_there_was_one():
    x, y = np.concatenate([np.linspace(0, 100, 20_000), [500.0]]), np.concatenate([np.zeros(20_000), [300.0]])

    kept_x, kept_y = thin(x, y, most=50)

    assert kept_x.size <= 50
    assert np.hypot(kept_x - 500, kept_y - 300).min() < 20


def test_a_line_is_broken_where_a_value_is_missing():
    drawing = Drawing(10, 10, "a line")

    drawing.polyline(np.arange(5.0), np.array([1.0, 2.0, np.nan, 3.0, 4.0]), "line")

    assert 'd="M0 1L1 2M3 3L4 4"' in drawing.svg()


def test_a_step_line_holds_each_value_until_the_next():
    x, y = steps([0.0, 2.0], [1.0, 3.0], 5.0)

    assert (x.tolist(), y.tolist()) == ([0.0, 2.0, 2.0, 5.0], [1.0, 1.0, 3.0, 3.0])


def test_words_in_a_picture_are_escaped():
    drawing = Drawing(10, 10, '"><script>')
    drawing.text(0, 0, "<b>")

    assert "<script>" not in drawing.svg()
    assert "&lt;b&gt;" in drawing.svg()
