"""A start that cannot work: one line that names what, where and the remedy, and exit code 2."""

import json
import os
import socket
import subprocess
import sys

import pytest


def run(*flags, **environ):
    done = subprocess.run(
        [sys.executable, "-m", "inference_service", *flags],
        env=os.environ | {"TIDEGATE_MODEL": "fake"} | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TIDEGATE_MAX_BACH_SIZE": "4"}, "unknown setting TIDEGATE_MAX_BACH_SIZE"),
        ({"TIDEGATE_MAX_BATCH_SIZE": "many"}, "TIDEGATE_MAX_BATCH_SIZE=many must be a whole number"),
        ({"TIDEGATE_WORKERS": "0"}, "TIDEGATE_WORKERS=0 must be 1 to 256"),
        ({"TIDEGATE_MODEL": "/nowhere"}, "/nowhere: is no prepared model"),
        ({"TIDEGATE_HOST": "203.0.113.7", "TIDEGATE_PORT": "0"}, "cannot listen there"),
    ],
)
def test_a_bad_setting_is_one_line(environ, expected):
    code, stderr = run(**environ)
    assert code == 2
    assert stderr.count("\n") == 1
    assert expected in stderr


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, stderr = run("--port", str(port))
    assert code == 2
    assert f"127.0.0.1:{port}: cannot listen there (Address already in use)" in stderr
    assert stderr.count("\n") == 1


def test_a_descriptor_that_is_no_socket_is_named():
    code, stderr = run("--fd", "0")
    assert (code, stderr.count("\n")) == (2, 1)
    assert "--fd 0" in stderr


@pytest.fixture
def folder(tmp_path):
    """A folder that looks prepared; its graph is no graph."""
    sizes = {}
    for name in ("model.int8.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"{}")
        sizes[name] = {"bytes": 2}
    manifest = {"schema": 1, "labels": ["a", "b"], "vocab_size": 9, "max_length": 8, "files": sizes}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("manifest.json", "{", "manifest.json: cannot be read"),
        ("manifest.json", '{"schema": 2}', "schema must be 1"),
        ("manifest.json", '{"schema": 1}', "must list its files"),
        ("model.int8.onnx", "truncated", "has 9 bytes, its manifest says 2"),
        ("tokenizer.json", None, "tokenizer.json: is missing"),
        ("tokenizer.json", "[]", "tokenizer.json: cannot be read"),
        ("model.int8.onnx", "{}", "model.int8.onnx: cannot be loaded"),
    ],
)
def test_a_broken_model_folder_is_one_line(folder, file, content, expected):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    if file == "model.int8.onnx":
        (folder / "tokenizer.json").write_text(VALID_TOKENIZER)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["tokenizer.json"]["bytes"] = len(VALID_TOKENIZER)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    code, stderr = run(TIDEGATE_MODEL=str(folder), TIDEGATE_PORT="0")
    assert code == 2
    assert expected in stderr
    assert stderr.count("\n") == 1


VALID_TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"},
    }
)


def test_help_names_every_flag():
    done = subprocess.run(
        [sys.executable, "-m", "inference_service", "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    assert all(flag in done.stdout for flag in ("--model", "--host", "--port", "--fd"))
