from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.performance_model.fleet import Member, plan_fleet
from controller.performance_model.knative_autoscaler import Autoscaler

loads = st.lists(st.floats(0, 500), min_size=1, max_size=40)
bounds = st.tuples(st.integers(0, 3), st.integers(0, 5))


@settings(deadline=None)
@given(loads=loads, bounds=bounds, ready=st.integers(0, 8), rate=st.sampled_from([1.5, 2.0, 1000.0]))
def test_the_wish_stays_inside_the_bounds_and_the_rates(loads, bounds, ready, rate):
    low, extra = bounds
    config = ServingConfig(target=5, min_scale=low, max_scale=low + extra)
    autoscaler = Autoscaler(AutoscalerSettings(window_s=6, max_scale_up_rate=rate), config, initial_scale=0)

    for second, load in enumerate(loads, start=1):
        autoscaler.observe(float(second), load)
        wish = autoscaler.decide(float(second), ready).desired
        assert wish >= low
        assert not config.max_scale or wish <= config.max_scale
        peak = max(autoscaler._scaler.panic_peak, low)
        assert wish <= max(peak, -(-rate * max(1, ready) // 1))


@settings(deadline=None)
@given(load=st.floats(0.001, 500), idle_s=st.integers(0, 5))
def test_traffic_in_the_window_never_wishes_for_zero(load, idle_s):
    autoscaler = Autoscaler(AutoscalerSettings(window_s=6), ServingConfig(), initial_scale=0)
    autoscaler.observe(1.0, load)
    for second in range(idle_s):
        autoscaler.observe(2.0 + second, 0.0)

    assert autoscaler.decide(1.0 + idle_s, 1).desired >= 1


members = st.lists(
    st.builds(
        Member,
        name=st.uuids().map(str),
        revision=st.integers(1, 2),
        state=st.sampled_from(["starting", "ready"]),
        load=st.integers(0, 9),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(members=members, desired=st.integers(0, 8))
def test_a_change_of_the_fleet_leads_to_the_wish_and_keeps_the_old_until_the_new_are_ready(members, desired):
    plan = plan_fleet(members, desired, revision=2, most=6)
    kept = [each for each in members if each.name not in plan.drain]
    new = [each for each in kept if each.revision == 2]
    old_ready = [each for each in members if each.revision == 1 and each.state == "ready"]

    assert len(new) + plan.start == min(desired, 6)
    if sum(each.state == "ready" for each in new) < min(desired, 6):
        assert all(each in kept for each in old_ready)
    else:
        assert not [each for each in kept if each.revision == 1]
