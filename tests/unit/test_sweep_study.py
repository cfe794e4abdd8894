"""What Optuna proposes, given the finished trials."""

import math

from controller.domain.serving_config import ServingConfig
from controller.domain.slo import LatencySlo
from controller.sweeps.parameters import Choices, Interval, Parameter
from controller.sweeps.records import TrialFigures, TrialRecord
from controller.sweeps.study import constraints_of, next_setting

SLO = LatencySlo(0.95, 0.5)
SIZES = Parameter("maxBatchSize", "max_batch_size", Choices((1, 2, 4, 8, 16, 32)))
TOKENS = Parameter("batchTokens", "batch_tokens", Interval(64, 4096, is_whole=True, is_log=True))
TARGET = Parameter("target", "target", Interval(0.5, 100.0, is_whole=False, is_log=False))
SPACE = [SIZES, TOKENS, TARGET]


def record(number, setting, *, p95_s=0.1, violations=0.0, cost=1.0, state="Complete"):
    figures = TrialFigures(
        p95_s=p95_s, slo_quantile_s=p95_s, window_violation_ratio=violations, cost_per_million_usd=cost
    )
    return TrialRecord(number=number, parameters=setting, state=state, why="", figures=figures)


def searched(trials, seed, measure):
    records = []
    while len(records) < trials:
        setting = next_setting(SPACE, records, SLO, seed=seed)
        records.append(measure(len(records), setting))
    return records


def cheap_at_large_batches(number, setting):
    """The larger the batch the cheaper, but above 16 it is too late."""
    size = setting["max_batch_size"]
    return record(number, setting, cost=10 / size, p95_s=0.02 * size)


def test_the_untuned_default_comes_first():
    untuned = ServingConfig()

    assert next_setting(SPACE, [], SLO, seed=1) == {
        "max_batch_size": untuned.max_batch_size,
        "batch_tokens": untuned.batch_tokens,
        "target": untuned.target,
    }


def test_the_first_trial_is_moved_onto_the_values_that_are_offered():
    sizes = Parameter("maxBatchSize", "max_batch_size", Choices((16, 32)))

    assert next_setting([sizes], [], SLO, seed=1) == {"max_batch_size": 16}


def test_the_next_setting_is_a_function_of_seed_and_finished_trials():
    records = searched(8, 4, cheap_at_large_batches)

    assert searched(8, 4, cheap_at_large_batches) == records
    assert searched(8, 5, cheap_at_large_batches) != records
    assert next_setting(SPACE, records[:6], SLO, seed=4) == records[6].parameters


def test_no_setting_is_tried_twice():
    settings = [each.parameters for each in searched(12, 2, cheap_at_large_batches)]

    assert all(setting not in settings[:index] for index, setting in enumerate(settings))


def test_the_search_turns_to_cheap_settings_inside_the_objective():
    late = searched(30, 3, cheap_at_large_batches)[15:]

    good = [each for each in late if each.parameters["max_batch_size"] == 16]
    assert len(good) >= 6  # 2.5 of 15 would be chance


def test_a_small_space_is_exhausted_without_a_repetition():
    records = []
    while (setting := next_setting([SIZES], records, SLO, seed=1)) is not None:
        records.append(record(len(records), setting))

    assert sorted(each.parameters["max_batch_size"] for each in records) == [1, 2, 4, 8, 16, 32]


def test_failed_and_invalid_trials_do_not_stop_the_search():
    first = next_setting(SPACE, [], SLO, seed=1)
    failed = record(0, first, p95_s=math.nan, violations=math.nan, cost=math.nan, state="Failed")
    invalid = record(1, {**first, "max_batch_size": 1}, state="Invalid")

    third = next_setting(SPACE, [failed, invalid], SLO, seed=1)

    assert third not in (None, failed.parameters, invalid.parameters)


def test_constraints_say_how_far_a_trial_is_off_in_shares_of_the_bound():
    assert constraints_of(record(0, {}, p95_s=0.75, violations=0.1), SLO) == {"latency": 0.5, "windows": 1.0}
    assert constraints_of(record(0, {}, p95_s=math.inf, violations=0.0), SLO) == {"latency": 10.0, "windows": -1.0}
    assert constraints_of(record(0, {}, state="Failed"), SLO) == {"ran": 2.0}
