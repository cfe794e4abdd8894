import math

import pytest

from controller.domain.prices import ClusterPrices
from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.reconcilers.loop_settings import inside, loop_settings
from controller.reconcilers.resources import InferenceTuningSpec
from controller.reconcilers.schema import read

PRICES = ClusterPrices(0.0000133, 0.0000018)


def settings_of(**objective):
    target = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"}
    slo = {"quantile": "0.95", "latency": "500ms"}
    spec = read(InferenceTuningSpec, {"targetRef": target, "objective": {"slo": slo, **objective}}, "spec")
    return loop_settings(spec, PRICES, held=frozenset())


def test_the_budget_bounds_what_a_burst_is_met_with():
    assert settings_of(budget={"usdPerMillion": "5.00"}).burst_usd_per_million == 5.0


def test_without_a_budget_a_burst_has_no_bound_of_cost():
    assert settings_of().burst_usd_per_million == math.inf


def test_a_budget_that_is_no_number_is_refused_by_its_name():
    with pytest.raises(BadInputError, match="usdPerMillion"):
        settings_of(budget={"usdPerMillion": "much"})


@pytest.mark.parametrize(
    ("present", "bounds", "wanted"),
    [
        (0.0, (0.0, 30.0), 30.0),  # the autoscaler's own 60 s are too many
        (0.0, (30.0, 90.0), 0.0),
        (0.0, (90.0, math.inf), 90.0),
        (20.0, (30.0, 90.0), 30.0),
        (45.0, (30.0, 90.0), 45.0),
    ],
)
def test_the_window_is_brought_inside_and_where_none_is_set_the_platforms_own_counts(present, bounds, wanted):
    found = inside(ServingConfig(window_s=present), {"window_s": bounds}, held=(), own_window_s=60.0)
    assert found == ServingConfig(window_s=wanted)
