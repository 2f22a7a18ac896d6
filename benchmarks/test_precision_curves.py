"""Smoke run of the training curves in every precision, and what their table says."""

import json

import pytest

from . import precision_curves


def test_two_cases(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    kept, again = tmp_path / "kept.json", tmp_path / "again.json"
    chart, page = tmp_path / "chart.png", tmp_path / "page.md"
    arguments = ["--cases", "rl,digits", "--steps", "3", "--seeds", "2", "--json", str(kept)]
    precision_curves.main(arguments)
    results = json.loads(kept.read_text(encoding="utf-8"))["results"]
    assert [(result["name"], result["steps"]) for result in results] == [("rl", 3), ("digits", 3)]
    for result in results:
        runs = {(run["precision"], run["seed"]): run for run in result["runs"]}
        assert len(runs) == len(precision_curves.RUNS) * 2
        for precision in precision_curves.RUNS:
            assert len(runs[precision, 0]["curve"]) == 3
            # The same start and batches, other products.
            distance = abs(runs[precision, 0]["final"] / runs["float32", 0]["final"] - 1)
            assert distance < (1e-2 if precision == "bf16" else 1e-4)
        assert runs["float32, nudged", 0]["curve"] != runs["float32", 0]["curve"]
        assert runs["bf16", 0]["curve"] != runs["float32", 0]["curve"]
        assert runs["float32", 0]["final"] != runs["float32", 1]["final"]
    assert "bf16x6 and bf16x3 end within" in capsys.readouterr().out.casefold()
    arguments = ["--cases", "none", "--add", str(kept), "--json", str(again)]
    precision_curves.main([*arguments, "--chart", str(chart), "--table", str(page)])
    assert json.loads(again.read_text(encoding="utf-8"))["results"] == results
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert "| digits | 3 | 2 |" in page.read_text(encoding="utf-8")


def test_differences_are_in_deviations_of_float32():
    finals = dict.fromkeys(precision_curves.RUNS, (1.0, 3.0))
    finals |= {"bf16x3": (4.0, 6.0), "bf16": (3.0, 1.0)}
    runs = [
        {"precision": precision, "seed": seed, "final": final}
        for precision, found in finals.items()
        for seed, final in enumerate(found)
    ]
    result = {"name": "rl", "steps": 1, "seeds": 2, "runs": runs}
    deviation = 2**0.5
    assert precision_curves.differences(result, "bf16x6") == (0, 0)
    assert precision_curves.differences(result, "bf16x3") == pytest.approx((3 / deviation,) * 2)
    assert precision_curves.differences(result, "bf16") == pytest.approx((0, 2 / deviation))
    text = precision_curves.table({"results": [result]})
    assert text.endswith("Beyond the seed-to-seed deviation of float32: bf16x3 on rl (+2.12).")
