"""Numbers of a sweep document that nobody means are refused in one line, whatever their size."""

import pytest

from controller.domain.quantities import decimal, duration_s, whole
from controller.errors import BadInputError
from controller.sweeps.parameters import parse_parameter


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (whole, 10**30),
        (whole, 10**400),
        pytest.param(whole, -(10**5000), id="too many digits to print"),
        (decimal, 10**400),
        pytest.param(decimal, 10**5000, id="decimal of too many digits"),
        (duration_s, "9" * 400 + "s"),
        (duration_s, "9" * 20 + "h"),
    ],
)
def test_a_number_beyond_all_bounds_is_refused_in_one_short_line(read, value):
    with pytest.raises(BadInputError, match=r"^spec\.x: needs a ") as caught:
        read(value, "spec.x")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("ends", [{"step": 1}, {"scale": "log"}, {}])
def test_a_range_up_to_a_huge_number_is_refused(ends):
    with pytest.raises(BadInputError, match="max: needs a whole number of at most"):
        parse_parameter({"name": "maxBatchSize", "min": 1, "max": 10**400, **ends}, "spec.parameters[0]")
