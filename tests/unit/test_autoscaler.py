import pytest

from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.performance_model.knative_autoscaler import Autoscaler

KNATIVE = AutoscalerSettings()


def run(autoscaler, concurrency, *, ready, from_s=0.0):
    """Observe one value a second, decide each second, follow the wish at once; return the wishes."""
    wishes = []
    for second, value in enumerate(concurrency, start=1):
        now_s = from_s + second
        autoscaler.observe(now_s, value)
        ready = autoscaler.decide(now_s, ready).desired
        wishes.append(ready)
    return wishes


@pytest.mark.parametrize(
    ("target", "container_concurrency", "utilization", "expected"),
    [
        (100.0, 0, 70.0, 70.0),
        (10.0, 0, 70.0, 7.0),
        (100.0, 4, 70.0, 2.8),
        (2.0, 4, 100.0, 2.0),
        (0.01, 0, 70.0, 0.01),
    ],
)
def test_the_target_is_the_smaller_bound_times_utilization_and_never_below_a_hundredth(
    target, container_concurrency, utilization, expected
):
    settings = AutoscalerSettings(target_utilization_percentage=utilization)
    config = ServingConfig(target=target, container_concurrency=container_concurrency)

    assert Autoscaler(settings, config).target == pytest.approx(expected)


def test_the_wish_is_the_average_over_the_window_divided_by_the_target_and_rounded_up():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10))

    wishes = run(autoscaler, [15.0] * 60, ready=2)

    assert wishes == [3] * 60  # ceil(15 / 7); 3 wished for 2 ready is no panic


def test_a_window_that_is_not_full_yet_is_averaged_over_what_was_seen():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10))
    autoscaler.observe(1.0, 14.0)
    autoscaler.observe(2.0, 0.0)

    decision = autoscaler.decide(2.0, 1)

    assert decision.desired == 1
    assert "7 in parallel" in decision.why


def test_twice_the_ready_instances_in_the_panic_window_begin_a_panic_and_scale_at_once():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10))
    run(autoscaler, [3.0] * 60, ready=1)

    wishes = run(autoscaler, [42.0] * 6, ready=1, from_s=60)

    # Panic window of 6 s: (5 x 3 + 42) / 6 = 9.5 wants 2 = 200 % of 1; then more, as the window fills.
    assert wishes == [2, 3, 4, 5, 6, 6]
    assert autoscaler.decide(66.0, 6).panic


@pytest.mark.parametrize(("window_s", "panic_s"), [(6, 1), (14, 1), (15, 2), (60, 6), (61, 6)])
def test_the_panic_window_is_rounded_to_whole_seconds(window_s, panic_s):
    autoscaler = Autoscaler(AutoscalerSettings(window_s=window_s), ServingConfig(target=10))
    run(autoscaler, [0.0] * 60, ready=1)

    autoscaler.observe(61.0, 4200.0)

    assert f"panic: {4200 / panic_s:g} in parallel" in autoscaler.decide(61.0, 1).why


def test_nothing_is_taken_away_during_a_panic_and_it_ends_a_stable_window_after_the_last_excess():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10))
    run(autoscaler, [42.0] * 6, ready=1)

    wishes = run(autoscaler, [3.0] * 70, ready=6, from_s=6)

    # The panic began at 1 s, when 6 were wished for and 1 was ready; 1 s + 60 s lies behind at 62 s.
    assert wishes[:55] == [6] * 55
    assert wishes[55] < 6
    assert wishes[-1] == 1


def test_scaling_down_halves_at_most_and_scaling_up_multiplies_at_most_by_the_rate():
    settings = AutoscalerSettings(max_scale_up_rate=2.0, max_scale_down_rate=2.0, panic_threshold_percentage=1000)
    autoscaler = Autoscaler(settings, ServingConfig(target=1))
    up = run(autoscaler, [50.0] * 5, ready=1)
    down = run(Autoscaler(settings, ServingConfig(target=1)), [0.1] * 5, ready=40)

    assert up == [2, 4, 8, 16, 32]
    assert down == [20, 10, 5, 2, 1]


def test_bounds_hold_whatever_is_wished():
    bounded = ServingConfig(target=1, min_scale=2, max_scale=3)

    assert run(Autoscaler(KNATIVE, bounded), [90.0] * 3, ready=2) == [3, 3, 3]
    assert run(Autoscaler(KNATIVE, bounded), [0.0] * 3, ready=2) == [2, 2, 2]


@pytest.mark.parametrize(("burst", "grace_s"), [(211.0, 0), (-1.0, 0), (0.0, 30), (10.0, 30)])
def test_the_grace_period_keeps_the_last_one_only_where_the_activator_was_not_in_the_path(burst, grace_s):
    autoscaler = Autoscaler(AutoscalerSettings(target_burst_capacity=burst), ServingConfig(target=10))

    wishes = run(autoscaler, [0.0] * 30 + [0.1] + [0.0] * 99, ready=1)

    # One busy second leaves the 60 s window at 91 s; capacity for 10 at once is no less than a burst of 10.
    assert wishes.index(0) == 91 + grace_s - 1


@pytest.mark.parametrize(("grace_s", "zero_s"), [(5, 29), (12, 34), (20, 42)])
def test_the_grace_period_counts_from_when_the_activator_came_into_the_path(grace_s, zero_s):
    settings = AutoscalerSettings(window_s=6, target_burst_capacity=11, scale_to_zero_grace_period_s=grace_s)
    autoscaler = Autoscaler(settings, ServingConfig(target=10))

    wishes = run(autoscaler, [8.0] * 20 + [0.5] * 3 + [0.0] * 30, ready=2)

    # Two have room for 8 and a burst of 11, one has not; one is enough from 21 s on and alone at 22 s.
    assert wishes.index(0) == zero_s - 1


def test_the_activator_that_stepped_aside_counts_anew():
    settings = AutoscalerSettings(window_s=6, target_burst_capacity=11, scale_to_zero_grace_period_s=20)
    autoscaler = Autoscaler(settings, ServingConfig(target=10))
    run(autoscaler, [0.5] * 40, ready=1)

    wishes = run(autoscaler, [8.0] * 10 + [0.0] * 40, ready=2, from_s=40)

    # Alone from the second after the wish for one, and only from then on without room for the burst.
    alone_s = wishes.index(1, 10) + 1
    assert wishes.index(0) == alone_s + 20


def test_the_retention_period_counts_from_the_wish_for_zero():
    settings = AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=5, scale_to_zero_pod_retention_period_s=20)

    wishes = run(Autoscaler(settings, ServingConfig()), [1.0] + [0.0] * 40, ready=1)

    assert wishes.index(0) == 7 + 20 - 1


def test_a_request_while_the_last_one_is_kept_begins_the_wait_anew():
    settings = AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=5, scale_to_zero_pod_retention_period_s=5)
    values = [1.0] + [0.0] * 9 + [0.5] + [0.0] * 20

    wishes = run(Autoscaler(settings, ServingConfig()), values, ready=1)

    assert wishes.index(0) == 11 + 6 + 5 - 1


def test_a_request_that_meets_none_is_answered_by_one_at_once():
    autoscaler = Autoscaler(KNATIVE, ServingConfig())
    run(autoscaler, [0.0] * 100, ready=0)

    assert autoscaler.decide(100.0, 0).desired == 0
    assert autoscaler.poke(100.5, 0).desired == 1


def test_from_zero_the_activation_scale_starts_at_once_and_stays_while_there_is_load():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10, activation_scale=3))
    autoscaler.observe(1.0, 1.0)
    assert autoscaler.poke(1.0, 0).desired == 3
    assert run(autoscaler, [1.0] * 60, ready=3, from_s=1.0)[-1] == 3
    assert run(autoscaler, [0.0] * 60, ready=3, from_s=61.0)[-1] < 3


def test_a_window_of_the_setting_takes_the_place_of_the_platforms_own():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10, window_s=6))
    run(autoscaler, [14.0] * 60, ready=2)
    assert run(autoscaler, [0.0] * 6, ready=2, from_s=60.0)[-1] < 2
    autoscaler.config = ServingConfig(target=10)
    run(autoscaler, [14.0] * 60, ready=2, from_s=66.0)
    assert run(autoscaler, [0.0] * 6, ready=2, from_s=126.0)[-1] == 2


def test_the_initial_scale_is_wished_for_until_it_was_reached_once():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(), initial_scale=3)

    wishes = []
    for second, ready in enumerate([0, 0, 2, 3, 3], start=1):
        autoscaler.observe(float(second), 0.0)
        wishes.append(autoscaler.decide(float(second), ready).desired)

    assert wishes == [3, 3, 3, 1, 1]


def test_nothing_is_started_without_a_request_where_the_initial_scale_is_zero():
    autoscaler = Autoscaler(KNATIVE, ServingConfig(), initial_scale=0)

    assert run(autoscaler, [0.0] * 100, ready=0) == [0] * 100


def test_a_wish_for_fewer_is_followed_only_after_the_delay():
    settings = AutoscalerSettings(window_s=6, scale_down_delay_s=10, max_scale_down_rate=100)
    autoscaler = Autoscaler(settings, ServingConfig(target=10))
    run(autoscaler, [20.0] * 6, ready=3)

    wishes = run(autoscaler, [1.0] * 30, ready=3, from_s=6)

    assert wishes[8] == 3
    assert wishes[-1] == 1


@pytest.mark.parametrize(("burst", "expected"), [(0.0, 0.0), (-1.0, -1.0), (211.0, 2 * 100 - 211 - 30)])
def test_excess_burst_capacity_compares_the_targets_of_the_ready_with_burst_and_load(burst, expected):
    autoscaler = Autoscaler(AutoscalerSettings(target_burst_capacity=burst), ServingConfig())
    run(autoscaler, [30.0] * 10, ready=2)

    assert autoscaler.decide(10.0, 2).excess_burst_capacity == expected


def test_ten_minutes_of_a_day_in_small():
    """Idle, a steady hour, a burst, and silence: what a service with Knative's defaults goes through."""
    autoscaler = Autoscaler(KNATIVE, ServingConfig(target=10))
    script = [0.0] * 100 + [5.0] * 200 + [60.0] * 20 + [5.0] * 100 + [0.0] * 180

    wishes = run(autoscaler, script, ready=1)

    assert (wishes[58], wishes[59]) == (1, 0)  # an idle window; the activator was in the path all the time
    assert wishes[110] == 1
    assert max(wishes[300:320]) == 9  # ceil(60 / 7), reached within the panic window
    assert wishes[360] == 9  # kept through the panic, whose last excess was seen before 306 s
    assert wishes[419] == 1
    assert wishes[-1] == 0
