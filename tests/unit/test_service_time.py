import json

import pytest

from controller.domain.service_time import (
    AffineServiceTimes,
    PolynomialServiceTimes,
    TokenServiceTimes,
    read_service_times,
    service_times_from_document,
)
from controller.errors import BadInputError

TABLE = {"kind": "table", "memory_mb": [1024, 2048], "batch_size": [1, 2], "seconds": [[0.2, 0.3], [0.1, 0.15]]}
TOKENS = {"kind": "tokens", "fixed_s": 0.002, "per_batch_s": 0.01, "per_token_s": 1e-4, "per_token_pair_s": 1e-7}
RESNET_V2 = (
    4.102873261, 2.442093484, -3.744827716e-3, 1.465789670e-3, -1.200716328e-3, 1.541471570e-6, 1.697903886e-4,
    -1.694022382e-6, 1.930960972e-7, -2.143205613e-10,
)  # fmt: skip


def parse(document):
    return service_times_from_document(document, where="service")


def test_table_answers_by_memory_and_batch_size():
    table = parse(TABLE)
    assert table.seconds(2, memory_mb=2048) == 0.15
    assert table.memories_mb == (1024, 2048)


def test_memory_may_be_left_out_when_the_table_has_one():
    table = parse({**TABLE, "memory_mb": [1024], "seconds": [[0.2, 0.3]]})
    assert table.seconds(1) == 0.2


def test_polynomial_reproduces_published_check_values():
    times = PolynomialServiceTimes(RESNET_V2)
    assert times.seconds(1, memory_mb=3008) == pytest.approx(1.5267, abs=1e-4)
    assert times.seconds(20, memory_mb=1280) == pytest.approx(26.8938, abs=1e-4)


def test_affine_ignores_memory():
    assert AffineServiceTimes(0.010, 0.034).seconds(2, memory_mb=128) == pytest.approx(0.078)


def test_tokens_count_projections_linearly_and_attention_quadratically():
    assert parse(TOKENS).seconds(4, padded_length=50) == pytest.approx(0.002 + 0.01 + 1e-4 * 200 + 1e-7 * 4 * 2500)


@pytest.mark.parametrize(("size", "factor"), [(1, 1.0), (2, 1.5), (3, 1.5)])
def test_a_size_that_the_law_misfits_has_a_factor_on_its_work_and_the_last_serves_larger_ones(size, factor):
    plain, corrected = parse(TOKENS), parse({**TOKENS, "size_factors": [1.0, 1.5]})
    work_s = plain.seconds(size, padded_length=50) - 0.002
    assert corrected.seconds(size, padded_length=50) == pytest.approx(0.002 + factor * work_s)


def test_less_memory_than_a_core_slows_the_work_but_not_the_hand_over():
    times = parse({**TOKENS, "vcpu_per_mb": 1 / 1769, "workers": 2})
    whole = times.seconds(1, memory_mb=3538, padded_length=10)
    assert times.seconds(1, memory_mb=1769, padded_length=10) - 0.002 == pytest.approx(2 * (whole - 0.002))
    assert times.seconds(1, memory_mb=10240, padded_length=10) == pytest.approx(whole)


@pytest.mark.parametrize(
    "document",
    [
        TABLE,
        {"kind": "affine", "fixed_s": 0.01, "per_item_s": 0.034},
        {"kind": "polynomial", "coefficients": list(RESNET_V2)},
        {**TOKENS, "vcpu_per_mb": 0.001, "workers": 2, "cv": 0.05},
        {**TOKENS, "workers": 1, "cv": 0.0, "size_factors": [1.0, 1.5]},
    ],
)
def test_service_times_survive_their_document(document):
    assert json.loads(json.dumps(parse(document).to_document())) == document


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "magic"}, "unknown kind 'magic'"),
        ({"batch_size": [1, 3]}, "without a hole"),
        ({"seconds": [[0.2, 0.3]]}, "one list per memory"),
        ({"seconds": [[0.2], [0.1]]}, "needs 2 numbers per memory"),
        ({"seconds": [[0.2, -0.3], [0.1, 0.2]]}, "must be positive and at most 1e+06 s, got -0.3 s for batch size 2"),
        ({"seconds": [[0.2, None], [0.1, 0.2]]}, "needs a number, got None"),
        ({"seconds": [[0.2, 0.1], [0.1, 0.2]]}, "must not take less time"),
        ({"memory_mb": [2048, 1024]}, "ascend"),
        ({"memory_mb": [1024.5, 2048]}, "whole numbers"),
        ({"kind": "affine", "fixed_s": -1, "per_item_s": 1}, "fixed_s needs a number of at least 0"),
        ({"kind": "polynomial", "coefficients": [1, 2]}, "1, 3, 6, 10 or 15"),
        ({"kind": "tokens", "fixed_s": 0.1}, "'per_batch_s' is missing"),
        ({**TOKENS, "workers": 1.5}, "whole number"),
        ({**TOKENS, "vcpu_per_mb": 0}, "vcpu_per_mb must be positive"),
        ({**TOKENS, "size_factors": [1.0, 0.0]}, "size_factors must be positive numbers, got 0.0"),
    ],
)
def test_a_bad_document_is_one_line_naming_place_and_rule(change, words):
    with pytest.raises(BadInputError) as caught:
        parse({**TABLE, **change})
    assert str(caught.value).startswith("service")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_not_measured_is_refused():
    with pytest.raises(BadInputError, match="ends at batch size 2, 3 is needed"):
        parse(TABLE).seconds(3, memory_mb=1024)
    with pytest.raises(BadInputError, match=r"1024, 2048\), got 512"):
        parse(TABLE).seconds(1, memory_mb=512)
    with pytest.raises(BadInputError, match="got None"):
        parse(TABLE).seconds(1)
    with pytest.raises(BadInputError, match="give --memory-mb"):
        PolynomialServiceTimes(RESNET_V2).seconds(1)
    with pytest.raises(BadInputError, match="give --lengths FILE"):
        TokenServiceTimes(per_token_s=1e-4).seconds(1)
    with pytest.raises(BadInputError, match="holds only where it was fitted"):
        PolynomialServiceTimes((1.0, -1.0, 0.0)).seconds(2, memory_mb=1)


def test_an_unreadable_file_says_what_to_give(tmp_path):
    with pytest.raises(BadInputError, match="give a service-times document"):
        read_service_times(tmp_path / "absent.json")
