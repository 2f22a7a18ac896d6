"""Smoke test of the gate: a build against itself, and what a limit that nothing meets does."""

from pathlib import Path

import pytest

import chainrule as cr

from . import gate

FOLDER = str(Path(cr.__file__).parents[1])


def test_a_build_is_compared_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.main([FOLDER, "--rounds", "1", "--limit", "100"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["task", "rl", "tabular", "product"]


def test_what_is_slower_each_time_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.main([FOLDER, "--rounds", "1", "--limit", "0.0"]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 1 + 3 * (1 + gate.REPEATS) + 1
    assert rows[-1].endswith("rl, tabular, product")


def test_a_folder_without_the_package_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        gate.main([str(tmp_path)])
