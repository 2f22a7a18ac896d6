"""Smoke run of the memory benchmark, which is Linux only."""

import json
import sys

from . import memory

if sys.platform == "linux":

    def test_two_cases(tmp_path, capsys):
        path = tmp_path / "memory.json"
        memory.main(["--cases", "rl", "gelu", "--json", str(path)])
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        assert [entry["case"] for entry in results] == ["rl", "gelu"]
        assert all(entry["bytes"] > 0 for entry in results)
        assert "the bound" in capsys.readouterr().out


def test_sizes_are_counted_as_the_package_counts():
    for case in memory.CASES.values():
        if case.parameters() < 1e6:
            assert case.model().parameters.size == case.parameters()
