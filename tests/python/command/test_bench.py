"""The command `chainrule bench`: real processes on few rounds, and what becomes of odd peers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import fields

import chainrule as cr
from chainrule._benchmarks import engine, summary, workloads
from chainrule._benchmarks.worker import AbsentError, Worker, WorkerError
from chainrule._benchmarks.workloads import Competitor, training_step
from chainrule._cli import main
from chainrule._precision import PRECISIONS

PNG = b"\x89PNG\r\n\x1a\n"

# Run in workers, which know the harness by its folder's name.
FAKES = """
import os
import time

from _benchmarks.workloads.training_step.numpy_ import Numpy


class Differs(Numpy):
    def weights(self):
        return super().weights() * 1.5


class NotANumber(Numpy):
    def weights(self):
        return super().weights() * float("nan")


class Raises(Numpy):
    def run(self, orders):
        raise ArithmeticError("of all\\nthings")


class DiesLater(Numpy):
    runs = 0

    def run(self, orders):
        self.runs += 1
        if self.runs > 1:
            print("this is no answer", flush=True)
            os.write(2, b"what a pity\\n")
            os._exit(7)
        super().run(orders)


class Hangs(Numpy):
    def run(self, orders):
        time.sleep(600)


class Unable(Numpy):
    def __init__(self, task, threads):
        raise NotImplementedError("has no tanh")
"""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let competitors take part that are named after the classes of FAKES."""
    package = tmp_path / "fakes"
    package.mkdir()
    (package / "peers.py").write_text(FAKES)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), before])))
    for name in re.findall(r"^class (\w+)", FAKES, flags=re.MULTILINE):
        fake = Competitor(name, "fakes.peers", {"": name}, "numpy", "numpy")
        monkeypatch.setitem(training_step.COMPETITORS, name.lower(), fake)
    absent = Competitor(
        "Nothing", "nothing_", {"": "Nothing"}, "no_such_library", "no-such-library"
    )
    monkeypatch.setitem(training_step.COMPETITORS, "nothing", absent)


def run_small(*arguments: str) -> int:
    return main(["bench", "--shapes", "rl", "--rounds", "1", *arguments])


# --- a run ---------------------------------------------------------------------------------------


def test_a_run(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--shapes", "rl,predict_row", "--peers", "numpy", "--rounds", "2"]
    assert main([*arguments, "--json", "times.json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found = fields(captured.out)
    assert found["times"] == "times.json"
    assert found["chart"] == "chainrule_bench.png"
    assert cr.__version__ in found["versions"]
    assert re.search(
        r"^shape +chainrule +GFLOP/s +of peak +NumPy +fastest peer$", captured.out, re.M
    )
    assert re.search(r"^predict_row +\S+ us .* NumPy \S+x$", captured.out, re.MULTILINE)
    assert (in_folder / "chainrule_bench.png").read_bytes().startswith(PNG)

    report = json.loads((in_folder / "times.json").read_text())
    check_report(report)
    assert report["complete"] is True
    assert [result["shape"] for result in report["results"]] == ["rl", "predict_row"]

    # An older chart of ours gives way; measurements do not, nor does a stranger's picture.
    assert run_small("--peers", "numpy", "--threads", "1", "--quiet") == 0
    assert "an older one was replaced" in capsys.readouterr().out
    assert main([*arguments, "--json", "times.json"]) == 2
    assert "--json times.json: it exists" in capsys.readouterr().err
    (in_folder / "chainrule_bench.png").write_bytes(PNG + b"a holiday")
    assert main(arguments) == 2
    assert "exists and is no benchmark chart of chainrule" in capsys.readouterr().err
    assert (in_folder / "chainrule_bench.png").read_bytes() == PNG + b"a holiday"


def check_report(report: dict[str, Any]) -> None:
    assert report["format"] == engine.FORMAT
    machine = report["machine"]
    assert {"cpu", "architecture", "features", "cpus", "python", "date", "commit"} <= set(machine)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$", machine["date"])
    assert report["variant"] in report["variants"]
    assert report["versions"]["chainrule"] == cr.__version__
    threads = report["plan"]["threads"]
    for by_threads in report["peak"].values():
        assert list(by_threads) == [str(n) for n in threads]
        assert min(by_threads.values()) > 0
    for result in report["results"]:
        assert result["flops"] > 0
        for entry in result["entries"]:
            assert entry["status"] == "timed"
            assert entry["distance"] <= 0.05
            assert len(entry["times"]) == len(entry["waiting"]) == report["plan"]["rounds"]
            assert all(0 <= share <= 1 for share in entry["waiting"])
            low, high = entry["microseconds_range"]
            assert 0 < low <= entry["microseconds"] <= high
        assert [comparison["threads"] for comparison in result["comparisons"]] == threads
        for comparison in result["comparisons"]:
            assert comparison["fastest"] == "numpy"
            assert 0 < comparison["chainrule"]["share_of_peak"] < 1.5
            low, high = comparison["peers"]["numpy"]["ratio_range"]
            assert 0 < low <= comparison["peers"]["numpy"]["ratio"] <= high


def test_float64_and_another_variant(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = cr.runtime.variants()[1]
    options = ["--dtype", "float64", "--variant", other, "--peers", "sklearn"]
    assert run_small(*options, "--threads", "1", "--no-chart", "--json", "times.json") == 0
    report = json.loads((in_folder / "times.json").read_text())
    assert report["variant"] == other
    own, peer = report["results"][0]["entries"]
    assert own["distance"] < 1e-9  # the same in double precision
    assert peer["competitor"] == "sklearn"
    assert peer["status"] == "timed"
    assert os.listdir(in_folder) == ["times.json"]


def test_another_precision(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--precision", "bf16", "--peers", "chainrule_float32", "--threads", "1"]
    assert run_small(*options, "--json", "times.json") == 0
    output = capsys.readouterr().out
    has_tiles = cr.runtime.has_bf16_tiles()
    precision = fields(output)["precision"]
    assert precision.startswith("bf16, on bf16 tiles" if has_tiles else "bf16; ")
    assert ("no bf16 tiles" in precision) is not has_tiles
    # The peak is that of float32, so no share of it is told.
    header = r"^shape +chainrule bf16 +GFLOP/s +chainrule float32 +fastest peer$"
    assert re.search(header, output, re.MULTILINE)
    assert (in_folder / "chainrule_bench.png").read_bytes().startswith(PNG)

    report = json.loads((in_folder / "times.json").read_text())
    assert report["plan"]["precision"] == "bf16"
    assert report["bf16_tiles"] is has_tiles
    own, peer = report["results"][0]["entries"]
    assert (own["competitor"], own["precision"]) == ("chainrule", "bf16")
    assert (peer["competitor"], peer["precision"]) == ("chainrule_float32", "float32")
    assert peer["distance"] < 1e-5 < 1e-4 < own["distance"] < 0.4
    comparison = report["results"][0]["comparisons"][0]
    assert comparison["chainrule"]["share_of_peak"] is None
    assert comparison["peers"]["chainrule_float32"]["ratio"] > 0


# --- odd peers -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("fakes")
def test_odd_peers_are_reported(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peers = "numpy,differs,notanumber,raises,dieslater,unable,nothing"
    options = ["--threads", "1", "--peers", peers, "--json", "times.json"]
    assert run_small(*options) == 1
    captured = capsys.readouterr()
    assert captured.err == "chainrule: error: a result differs from that of NumPy; see the table\n"
    assert re.search(r"^rl .* NumPy \S+x$", captured.out, re.MULTILINE)
    output = " ".join(captured.out.split())
    assert "Differs differs from NumPy by" in output
    assert "NotANumber differs from NumPy by nan" in output
    assert "Raises ArithmeticError: of all things on rl (1 thread)" in output
    assert "DiesLater ended with exit code 7: what a pity on rl" in output
    assert "Unable has no tanh on rl" in output
    assert "Nothing is not installed (pip install no-such-library)" in output
    entries = json.loads((in_folder / "times.json").read_text())["results"][0]["entries"]
    status = {entry["competitor"]: entry["status"] for entry in entries}
    assert status == {
        "chainrule": "timed",
        "numpy": "timed",
        "differs": "differs",
        "notanumber": "differs",
        "raises": "failed",
        "dieslater": "failed",
        "unable": "absent",
        "nothing": "absent",
    }


@pytest.mark.usefixtures("fakes")
def test_a_wrong_result_in_bf16(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Competitor("Wrong", "fakes.peers", {"": "Differs"}, "numpy", "numpy", precision="bf16")
    monkeypatch.setitem(training_step.COMPETITORS, "differs", wrong)
    options = ["--precision", "bf16", "--peers", "differs", "--threads", "1", "--no-chart"]
    assert run_small(*options, "--json", "times.json") == 1
    entries = json.loads((in_folder / "times.json").read_text())["results"][0]["entries"]
    assert [entry["status"] for entry in entries] == ["timed", "differs"]


@pytest.mark.usefixtures("fakes")
def test_without_any_peer(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_small("--threads", "1", "--peers", "nothing", "--quiet") == 0
    captured = capsys.readouterr()
    assert "Nothing is not installed" in captured.out
    assert not (in_folder / "chainrule_bench.png").exists()


@pytest.mark.usefixtures("fakes")
def test_a_peer_that_hangs_is_given_up(tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    training_step.make_task("rl", "float32").save(task)
    with Worker("training_step", "fakes.peers", "Hangs", "rl", task, 1, timeout=60) as worker:
        worker.wait_until_ready()
        worker._timeout = 0.2
        with pytest.raises(WorkerError, match=r"^gave no answer in 0\.2 s$"):
            worker.check(tmp_path / "result.npy")
    assert worker._process.poll() is not None
    with (
        Worker("training_step", "fakes.none", "Hangs", "rl", task, 1, timeout=60) as worker,
        pytest.raises(AbsentError, match="cannot be imported"),
    ):
        worker.wait_until_ready()


# --- Ctrl-C --------------------------------------------------------------------------------------


def test_interrupt(tmp_path: Path) -> None:
    arguments = ["bench", "--shapes", "rl,tabular", "--peers", "numpy", "--rounds", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", *arguments, "--json", "times.json"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("rl "):
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == "chainrule: interrupted; the table above holds what was measured\n"
    assert re.search(r"^rl .* NumPy \S+x$", output, re.MULTILINE)
    report = json.loads((tmp_path / "times.json").read_text())
    assert report["complete"] is False
    assert report["results"][0]["shape"] == "rl"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["times.json"]
    # The workers, which have the folder of their task in their arguments, are gone too.
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(tmp_path).encode() not in path.read_bytes()
        except OSError:
            continue


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--shapes tabula", "--shapes 'tabula': expected some of rl, tabular"),
        ("--shapes tabula", "did you mean tabular?"),
        ("--shapes rl,", "'rl,': expected names separated by commas"),
        ("--peers pytorch", "--peers 'pytorch': expected some of numpy, torch, torch_compile"),
        ("--peers chainrule", "--peers 'chainrule': expected some of numpy"),
        ("--threads 0", "--threads '0': expected all or numbers from 1 to"),
        ("--threads 1,5000", "--threads '5000': expected all or numbers from 1 to"),
        ("--threads -1", "--threads"),
        ("--rounds 0", "--rounds: '0': expected a whole number from 1 to 1000"),
        ("--timeout 0", "--timeout: '0': expected a number above 0"),
        ("--dtype float16", "--dtype: invalid choice: 'float16'"),
        ("--precision float16", "--precision: invalid choice: 'float16'"),
        ("--precision bf16 --dtype float64", "--precision bf16: expected --dtype float32"),
        ("--peers torch_bf16", "--peers 'torch_bf16': it is measured beside --precision bf16, got"),
        ("--peers chainrule_float32", "beside --precision bf16x6 or bf16x3 or bf16 or auto, got"),
        ("--variant sse9", "--variant 'sse9': expected some of"),
        ("--quick --full", "--full: not allowed with argument --quick"),
        ("--json no/times.json", "--json no/times.json: there is no folder no"),
        ("--chart bench.jpg", "--chart bench.jpg: expected a name that ends in .png"),
        ("rl", "unrecognized arguments: rl"),
    ],
)
def test_refused_options(
    in_folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert main(["bench", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_library_of_the_extra(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench"]) == 1
    assert "chainrule bench needs matplotlib, which is not installed" in capsys.readouterr().err


def test_the_package_does_not_import_the_harness() -> None:
    code = "import sys, chainrule, chainrule._cli; print([n for n in sys.modules if '_bench' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


# --- what the times say --------------------------------------------------------------------------


def entry(name: str, setting: str, threads: int, *times: float) -> dict[str, Any]:
    return {
        "competitor": name,
        "setting": setting,
        "threads": threads,
        "status": "timed",
        "times": list(times),
    }


def test_the_best_setting_of_a_peer_counts() -> None:
    result: dict[str, Any] = {
        "flops": 1e9,
        "entries": [
            entry("chainrule", "", 1, 20.0, 30.0, 20.0),
            entry("chainrule", "", 2, 10.0, 20.0, 10.0),
            entry("torch", "flush", 1, 50.0, 50.0, 50.0),
            entry("torch", "no flush", 1, 40.0, 30.0, 40.0),
            entry("torch", "flush", 2, 35.0, 20.0, 30.0),
            entry("numpy", "", 1, 60.0, 60.0, 10.0),
            {"competitor": "jax", "setting": "", "threads": 1, "status": "waiting"},
        ],
    }
    summary.complete(result, {"1": 1e14, "2": 4e14}, [1, 2])
    one, two = result["comparisons"]
    assert one["chainrule"]["microseconds"] == 20.0
    assert one["chainrule"]["gflops"] == pytest.approx(5e4)
    assert one["chainrule"]["share_of_peak"] == pytest.approx(0.5)
    assert one["peers"]["torch"]["setting"] == "no flush"
    assert one["peers"]["torch"]["ratio"] == 2.0
    assert one["peers"]["torch"]["ratio_range"] == [1.0, 2.0]
    assert one["peers"]["numpy"]["ratio_range"] == [0.5, 3.0]
    assert one["fastest"] == "torch"
    assert two["peers"]["torch"]["threads"] == 2
    assert two["peers"]["torch"]["ratio"] == 3.0
    assert two["peers"]["numpy"]["threads"] == 1
    assert two["chainrule"]["share_of_peak"] == pytest.approx(0.25)
    assert "jax" not in one["peers"]
    assert result["entries"][-1]["status"] == "unfinished"


def test_a_busy_machine_is_told() -> None:
    idle = entry("numpy", "", 1, 60.0) | {"waiting": [0.005, 0.3, 0.004]}
    busy = entry("chainrule", "", 1, 60.0) | {"waiting": [0.4, 0.5, 0.004]}
    # A library's main thread may rest while its others compute.
    others = entry("torch", "", 1, 60.0) | {"waiting": [0.9]}
    results = [{"shape": "rl", "entries": [idle, others]}]
    report = {"results": results, "plan": {"peers": []}}
    assert summary.disturbance(report) is None
    assert summary.remarks(report) == []
    results.append({"shape": "mid", "entries": [idle, busy]})
    ((label, said),) = summary.remarks(report)
    assert label == "busy"
    assert "chainrule waited for a processor 40% of its time on mid" in said


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (3.456, "3.46 us"),
        (23.45, "23.4 us"),
        (999.0, "999 us"),
        (1890.0, "1.89 ms"),
        (2e6, "2.00 s"),
    ],
)
def test_times_in_words(microseconds: float, text: str) -> None:
    assert summary.in_words(microseconds) == text


def test_peers_of_a_precision() -> None:
    usual = workloads.find_peers("float32")
    assert set(usual).isdisjoint({"chainrule", "chainrule_float32", "torch_bf16"})
    assert workloads.find_peers("float64") == usual
    assert {*workloads.find_peers("bf16x3")} == {*usual, "chainrule_float32"}
    assert {*workloads.find_peers("bf16")} == {*usual, "chainrule_float32", "torch_bf16"}


@pytest.mark.parametrize(
    ("precision", "bf16_tiles", "variant", "text"),
    [
        ("float32", False, "avx512", "float32"),
        ("bf16x3", True, "amx", "bf16x3, on bf16 tiles"),
        ("auto", False, "avx512", "auto; this machine has no bf16 tiles: products of bf16 terms"),
        ("bf16", False, "avx2", "bf16; the variant avx2 has no bf16 tiles: products of bf16"),
    ],
)
def test_precision_in_words(precision: str, bf16_tiles: bool, variant: str, text: str) -> None:
    variants = ["amx", "avx512", "avx2"] if bf16_tiles else ["avx512", "avx2"]
    place = {"variant": variant, "variants": variants, "bf16_tiles": bf16_tiles}
    found = summary.in_full(precision, place)
    assert found.startswith(text)
    assert ("more slowly than float32" in found) is ("FMAs" in found)


def test_every_kind_of_workload_has_what_it_must() -> None:
    for name in workloads.KINDS:
        kind = workloads.kind_of(name)
        assert next(iter(kind.COMPETITORS)) == "numpy"
        assert "chainrule" in kind.COMPETITORS
        assert set(kind.TOLERANCES) == {*PRECISIONS, "float64"}
        for shape in kind.SHAPES:
            assert kind.flops(shape) > 0
            assert kind.units(shape) > 0
        for competitor in kind.COMPETITORS.values():
            file = Path(str(kind.__file__)).with_name(f"{competitor.module}.py")
            text = file.read_text(encoding="utf-8")
            for member in competitor.settings.values():
                assert f"class {member}" in text


# --- the peak ------------------------------------------------------------------------------------


def test_highest_peak_counts_for_all_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter((1e9, 4e9))

    def measure_peak(threads: list[int], variant: str | None) -> dict[str, Any]:
        return {"peak": {"float32": {"1": next(peaks)}}, "variant": variant}

    monkeypatch.setattr(engine.machine, "measure_peak", measure_peak)
    shapes, dtype = ["rl", "predict_row"], "float32"
    run = engine.Run(engine.Plan(shapes, ["numpy"], [1], 1, dtype, dtype, None, 120.0))
    assert len(list(run.results())) == 2
    assert run.report["peak"] == {"float32": {"1": 4e9}}
    for result in run.report["results"]:
        own = result["comparisons"][0]["chainrule"]
        assert own["share_of_peak"] == pytest.approx(own["gflops"] / 4)


@pytest.mark.parametrize("variant", cr.runtime.variants())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peak(variant: str, dtype: str) -> None:
    with cr.runtime.use_variant(variant):
        for threads in (1, 2, None):
            assert 1e7 < cr.runtime.peak_flops(threads, dtype) < 1e15


def test_peak_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(ValueError, match="threads must be an integer >= 1, got 0"):
        cr.runtime.peak_flops(0)
    with pytest.raises(TypeError, match="threads must be an integer"):
        cr.runtime.peak_flops(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got 'float16'"):
        cr.runtime.peak_flops(1, "float16")
