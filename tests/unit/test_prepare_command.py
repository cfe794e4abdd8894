"""The command on good folders: what it writes, names, replaces and downloads."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from inference_service.prepare import __main__ as command
from inference_service.prepare.demo_model import seeded_weights
from inference_service.prepare.manifest import is_current
from inference_service.prepare.model_config import ModelConfig
from inference_service.prepare.model_folder import new_folder
from inference_service.prepare.source import FILES, default_name

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "text", "to", "try"]


def _write_source(folder, dtype=np.float32):
    folder.mkdir()
    document = {"model_type": "distilbert", "dim": 8, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}
    document |= {"vocab_size": 12, "max_position_embeddings": 16, "id2label": {"0": "bad", "1": "good"}}
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    names = {"dim": 8, "hidden_dim": 16, "layers": 1, "heads": 2, "vocab_size": 12, "max_length": 16}
    config = ModelConfig(layout="distilbert", labels=("bad", "good"), **names)
    weights = seeded_weights(config, np.random.default_rng(0))
    save_file({name: value.astype(dtype) for name, value in weights.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture
def source(tmp_path):
    return _write_source(tmp_path / "my-model")


def _run(tmp_path, *arguments, download=None):
    def no_hub(model_id, files):
        raise AssertionError(model_id, files)

    return command.main(
        [str(one) for one in arguments], {"TIDEGATE_CACHE": str(tmp_path / "cache")}, download or no_hub
    )


def test_folder_becomes_graphs_tokenizer_and_manifest_in_the_cache(tmp_path, source):
    assert _run(tmp_path, source) == 0

    folder = tmp_path / "cache" / "my-model"
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert files == set(manifest["files"]) >= {"model.int8.onnx", "model.fp32.onnx", "tokenizer.json"}
    for name, entry in manifest["files"].items():
        assert entry == {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "bytes": (folder / name).stat().st_size,
        }
    assert manifest["schema"] == 1
    assert manifest["labels"] == ["bad", "good"]
    assert (manifest["name"], manifest["vocab_size"], manifest["max_length"]) == ("my-model", 12, 16)
    assert manifest["accuracy"] is None


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_written_graph_takes_int32_ids_and_mask_of_any_batch_and_length(tmp_path, source, precision):
    _run(tmp_path, source)

    path = tmp_path / "cache" / "my-model" / f"model.{precision}.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for shape in ((1, 1), (3, 16)):
        ids = np.ones(shape, dtype=np.int32)
        (logits,) = session.run(None, {"input_ids": ids, "attention_mask": ids})
        assert logits.shape == (shape[0], 2)
        assert logits.dtype == np.float32
    assert {one.name: one.type for one in session.get_inputs()} == dict.fromkeys(
        ("input_ids", "attention_mask"), "tensor(int32)"
    )
    assert [one.name for one in session.get_outputs()] == ["logits"]


def test_written_files_can_be_read_by_another_user(tmp_path, source):
    _run(tmp_path, source)

    assert all(path.stat().st_mode & 0o044 for path in (tmp_path / "cache" / "my-model").iterdir())


def test_vocabulary_alone_becomes_a_tokenizer_that_adds_cls_and_sep_and_cuts(tmp_path, source):
    _run(tmp_path, source, "--out", tmp_path / "out")

    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert tokenizer.encode("One TEXT").tokens == ["[CLS]", "one", "text", "[SEP]"]
    assert len(tokenizer.encode("try " * 99).ids) == 16
    assert tokenizer.padding is None


def test_half_precision_weights_are_read(tmp_path):
    source = _write_source(tmp_path / "half", np.float16)

    assert _run(tmp_path, source, "--out", tmp_path / "out") == 0


def test_json_is_one_document_on_stdout(tmp_path, source, capsys):
    _run(tmp_path, source, "--json", "--name", "other")

    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(tmp_path / "cache" / "other")
    assert document["manifest"]["name"] == "other"


def test_older_prepared_model_is_replaced_and_nothing_else_is_left(tmp_path, source):
    _run(tmp_path, source, "--out", tmp_path / "models" / "one")
    (tmp_path / "models" / "one" / "stale").touch()

    assert _run(tmp_path, source, "--out", tmp_path / "models" / "one") == 0

    assert [path.name for path in (tmp_path / "models").iterdir()] == ["one"]
    assert not (tmp_path / "models" / "one" / "stale").exists()


def test_same_source_gives_the_same_files(tmp_path, source):
    for out in ("first", "again"):
        _run(tmp_path, source, "--out", tmp_path / out)

    first, again = (json.loads((tmp_path / out / "manifest.json").read_text()) for out in ("first", "again"))
    assert first == again


def test_hub_id_is_downloaded_without_code_and_pickles(tmp_path, source):
    asked = []

    def download(model_id, files):
        asked.append((model_id, files))
        return str(source)

    assert _run(tmp_path, "somebody/sentiment", download=download) == 0

    assert asked == [("somebody/sentiment", FILES)]
    assert (tmp_path / "cache" / "sentiment" / "manifest.json").exists()
    assert not [name for name in FILES if name.endswith((".bin", ".py", ".pkl"))]


def test_complete_model_of_this_recipe_is_current(tmp_path, source):
    _run(tmp_path, source, "--out", tmp_path / "out")

    assert is_current(tmp_path / "out")


@pytest.mark.parametrize("damage", ["truncate", "remove", "recipe", "text", "absent"])
def test_incomplete_or_older_model_is_not_current(tmp_path, source, damage):
    out = tmp_path / "out"
    _run(tmp_path, source, "--out", out)
    manifest = out / "manifest.json"
    {
        "truncate": lambda: (out / "tokenizer.json").write_text("{"),
        "remove": (out / "model.int8.onnx").unlink,
        "recipe": lambda: manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"recipe": 0})),
        "text": lambda: manifest.write_text("[]"),
        "absent": manifest.unlink,
    }[damage]()

    assert not is_current(out)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_interrupted_write_leaves_no_folder(tmp_path, failure):
    def fail():
        with new_folder(tmp_path / "models" / "one") as folder:
            (folder / "manifest.json").touch()
            raise failure

    with pytest.raises(failure):
        fail()

    assert not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize(
    ("given", "name"), [("owner/some.model", "some.model"), ("/data/Fine Tuned/", "Fine-Tuned"), ("..", "model")]
)
def test_default_name_fits_a_url_and_a_file_name(given, name, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: False)

    assert default_name(given) == name
