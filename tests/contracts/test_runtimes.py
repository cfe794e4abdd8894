"""What every runtime keeps; the real one runs where a model has been prepared into the cache or is given."""

import os
from array import array
from pathlib import Path

import pytest

from inference_service.errors import StartError
from inference_service.runtimes.loader import describe_model, find_model, load_runtime, load_tokenizer, runtime_class
from inference_service.settings import Settings

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate"
HAS_DEMO = (CACHE / "demo" / "manifest.json").exists()


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        pytest.param("demo-int8", marks=pytest.mark.skipif(not HAS_DEMO, reason="no demo model: make demo makes it")),
        pytest.param("demo-fp32", marks=pytest.mark.skipif(not HAS_DEMO, reason="no demo model: make demo makes it")),
    ],
)
def settings(request):
    model, _, precision = request.param.partition("-")
    return find_model(Settings(model=model, precision=precision or "int8", cache=str(CACHE)))


@pytest.fixture(scope="module")
def runtime(settings):
    return load_runtime(settings)


def predict(runtime, *texts):
    flat = array("i", [token for text in texts for token in text])
    return runtime.predict(flat, array("i", map(len, texts)))


def test_probabilities_are_flat_floats_that_add_up(runtime):
    flat = predict(runtime, [101, 2307, 102], [101, 6659, 2919, 102])
    assert flat.typecode == "f"
    assert len(flat) == 4
    assert flat[0] + flat[1] == pytest.approx(1)
    assert flat[2] + flat[3] == pytest.approx(1)


def test_a_neighbour_changes_nothing_that_matters(runtime):
    short, long = [101, 2307, 102], [101, *range(2000, 2060), 102]
    together = predict(runtime, short, long)
    apart = [*predict(runtime, short), *predict(runtime, long)]
    # int8 scales are those of the whole batch, so padding moves them a little.
    assert list(together) == pytest.approx(apart, abs=0.05)


@pytest.mark.parametrize("length", [1, 2, 511, 512])
def test_every_length_is_answered(runtime, length):
    assert len(predict(runtime, [7] * length)) == 2


def test_the_class_says_whether_it_may_be_forked(settings, runtime):
    assert runtime_class(settings).fork_safe is type(runtime).fork_safe


def test_the_tokenizer_frames_and_cuts(settings):
    model = describe_model(settings)
    tokenizer = load_tokenizer(model)
    ids = tokenizer.encode("a film " * 1000)
    assert ids.typecode == "i"
    assert (len(ids), ids[0], ids[-1]) == (model.max_length, 101, 102)
    assert list(tokenizer.encode("")) == [101, 102]


def test_the_tokenizer_takes_any_text(settings):
    tokenizer = load_tokenizer(describe_model(settings))
    for text in ("\x00", "\ud800", "🌊" * 500, " " * 100_000, "x" * 100_000):
        assert 2 <= len(tokenizer.encode(text)) <= 512


@pytest.mark.skipif(not HAS_DEMO, reason="no demo model: make demo makes it")
def test_the_demo_model_tells_good_from_bad():
    settings = find_model(Settings(model="demo", cache=str(CACHE)))
    tokenizer, runtime = load_tokenizer(describe_model(settings)), load_runtime(settings)
    good, bad = (tokenizer.encode(text) for text in ("what a wonderful film", "a dreadful, boring film"))
    flat = predict(runtime, good, bad)
    assert flat[1] > 0.5
    assert flat[2] > 0.5


def test_an_unknown_folder_is_named(tmp_path):
    with pytest.raises(StartError, match="is no prepared model"):
        describe_model(Settings(model=str(tmp_path)))
