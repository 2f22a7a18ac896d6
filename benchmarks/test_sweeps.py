"""Smoke runs of the sweeps: a few points each; nothing is asserted about times."""

import json

import numpy as np
import pytest

from .sweeps import __main__ as command
from .sweeps import cost, threads, widths
from .sweeps.timing import numbers

QUICK = ["--passes", "1", "--budget", "1e-6"]


def run(tmp_path, *arguments):
    path = tmp_path / "result.json"
    command.main([*arguments, *QUICK, "--json", str(path)])
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["machine"]["commit"] is None or result["machine"]["commit"]
    return result


def test_widths(tmp_path, capsys):
    result = run(tmp_path, "widths", "--widths", "1-3")
    assert [entry["series"] for entry in result["results"]] == list(widths.SERIES)
    assert all(np.isfinite(entry["gflops"]).all() for entry in result["results"])
    assert "cliff" in capsys.readouterr().out


def test_threads(tmp_path, capsys):
    result = run(tmp_path, "threads", "--widths", "8", "--batch-sizes", "1,33")
    assert len(result["results"]) == 2 * len(threads.KINDS)
    assert "slower" in capsys.readouterr().out


def test_cost(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    first = run(tmp_path, "cost", "--widths", "8", "--batch-sizes", "1,2", "--threads", "1")
    assert len(first["results"]) == 2
    kept, chart = tmp_path / "kept.json", tmp_path / "cost.png"
    (tmp_path / "result.json").rename(kept)
    arguments = ["--widths", "none", "--add", str(kept), "--chart", str(chart)]
    assert run(tmp_path, "cost", *arguments)["results"] == first["results"]
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert "GFLOP/s" in capsys.readouterr().out


def test_a_step_up_is_a_cliff_and_whole_vectors_are_none():
    swept = np.arange(1, 301)
    vectors = np.ceil(swept / 16)
    smooth = widths.ratios(vectors, swept)
    assert max(smooth["beside"].max(), smooth["padded"].max()) < widths.LIMIT
    slow = vectors + 3.0 * (swept == 100)
    found = widths.ratios(slow, swept)
    for ratios in found.values():
        assert swept[ratios > widths.LIMIT].tolist() == [100]


def test_cost_that_rises_with_the_batch_is_a_cliff():
    points = [{"threads": 1, "width": 8, "batch_size": b, "gflops": g} for b, g in ((1, 2), (2, 1))]
    assert [cliff["ratio"] for cliff in cost.cliffs(points)] == [2]
    assert cost.cliffs(points[:1]) == []


def test_numbers():
    assert numbers("1-3,8") == [1, 2, 3, 8]
    assert numbers("none") == []
