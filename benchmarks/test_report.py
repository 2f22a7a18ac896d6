"""The tables of a result in Markdown, printed and put into a document.

pytest benchmarks/test_report.py
"""

import json

import pytest

from . import report, summary

TIMES = {("chainrule", "", 1): 20.0, ("torch", "flush", 1): 50.0, ("torch", "no flush", 1): 40.0}


@pytest.fixture
def result(tmp_path):
    entries = [
        {
            "competitor": name,
            "setting": setting,
            "threads": threads,
            "status": "timed",
            "times": [time, 1.1 * time, 1.2 * time],
        }
        for (name, setting, threads), time in TIMES.items()
    ]
    absent = {"status": "absent", "reason": "is not installed (pip install jax)"}
    entries.append({"competitor": "jax", "setting": "", "threads": 1} | absent)
    shape = {"shape": "rl", "workload": "training_step", "flops": 1e6, "entries": entries}
    summary.complete(shape, {"1": 1e11}, [1])
    content = {
        "machine": {
            "cpu": "A processor",
            "virtual": True,
            "cpus": 2,
            "features": ["avx2", "fma"],
            "python": "3.13.0",
            "date": "2026-11-22T10:00:00+00:00",
            "commit": "1dbf812",
        },
        "variant": "avx2",
        "versions": {"numpy": "2.4.6"},
        "peak": {"float32": {"1": 1e11}},
        "plan": {"threads": [1], "rounds": 3, "dtype": "float32", "peers": ["torch", "jax"]},
        "results": [shape],
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    return path


def test_the_tables(result, capsys):
    report.main([str(result)])
    text = capsys.readouterr().out
    assert "2026-11-22, commit 1dbf812; A processor, virtual machine of 2 processors" in text
    assert "| rl | 22.0 us | 45.5 | 45% | 2.0x | PyTorch 2.0x |" in text
    assert "| PyTorch, flush | 1 | 55.0 (50.0-60.0) |" in text
    assert "- JAX is not installed (pip install jax)." in text
    report.main([str(result), "--short"])
    assert "PyTorch, flush" not in capsys.readouterr().out


def test_another_precision_has_no_share_of_the_peak(result, capsys):
    content = json.loads(result.read_text())
    content["plan"]["precision"] = "bf16x3"
    content |= {"bf16_tiles": False, "variants": ["avx2", "baseline"]}
    summary.complete(content["results"][0], None, [1])
    result.write_text(json.dumps(content))
    report.main([str(result)])
    text = capsys.readouterr().out
    assert "bf16x3; this machine has no bf16 tiles: products of bf16 terms take FMAs" in text
    assert "| shape | chainrule bf16x3 | GFLOP/s | PyTorch | fastest peer |" in text
    assert "| rl | 22.0 us | 45.5 | 2.0x | PyTorch 2.0x |" in text


def test_the_tables_in_a_document(result, tmp_path):
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- bench: float32 -->\nold\n<!-- end -->\nafter\n")
    for _ in range(2):  # a second time it finds its place again
        report.main([str(result), "--into", str(document)])
    text = document.read_text()
    assert text.startswith("before\n<!-- bench: float32 -->\n\n2026-11-22")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in text
    assert text.count("PyTorch, flush") == 1
    with pytest.raises(SystemExit):
        report.main([str(result), "--into", str(document), "--name", "float64"])
