"""Ctrl-C at a moment when nothing has begun yet, or in a process that should leave it to its parent."""

import os
import signal
import sys
import types

from controller.sweeps import best_fixed
from loadtest.__main__ import main


class Interrupted(types.ModuleType):
    """A module whose import is interrupted."""

    def __getattr__(self, name):
        raise KeyboardInterrupt


def test_ctrl_c_while_the_load_generator_imports_is_130_without_a_traceback(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "loadtest.options", Interrupted("loadtest.options"))

    assert main([]) == 130
    assert capsys.readouterr().err == ""


def test_a_worker_of_the_grid_leaves_ctrl_c_to_its_parent_on_any_system(monkeypatch):
    asked = []
    monkeypatch.setattr(signal, "signal", lambda number, handler: asked.append((number, handler)))
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)

    best_fixed._begin_worker()

    assert asked == [(signal.SIGINT, signal.SIG_IGN)]
