"""The command line: names, exit codes, one line for each mistake."""

from __future__ import annotations

import pytest

from controller.cli import COMMANDS, main


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_no_command_shows_the_help_and_exits_2(capsys):
    assert main([]) == 2
    assert "usage: tidegate" in capsys.readouterr().out


def test_unknown_command_is_one_line_and_exits_2(capsys):
    assert main(["tun"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "unknown command 'tun'" in shown


def test_unknown_flag_is_one_line_and_exits_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["detect", "--cuonts", "file"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
