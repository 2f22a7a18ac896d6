"""One competitor in a process of its own: reads requests as JSON lines, answers as JSON lines.

``engine.py`` and ``denormals.py`` start it. Libraries that bring thread pools and BLAS copies of
their own then cannot disturb each other, and thread counts are set before the first import. The
process imports this folder as a package of its own, in a checkout and where it is installed, so
that a peer's process has nothing of chainrule in it.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_START = """
import importlib, sys
folder, package = sys.argv[1:3]
if sys.path[0] == "":
    del sys.path[0]  # the user's folder may hold anything, a torch.py too
sys.path.insert(0, folder)
main = importlib.import_module(package + ".worker").main
del sys.path[0]
main(*sys.argv[3:])
"""

# Settings by which a user could have tuned OpenBLAS down: NumPy must have its best kernels.
_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "CHAINRULE_NUM_THREADS",
)
_LONGEST_REASON = 200


class WorkerError(Exception):
    """Why a worker cannot go on, in one line."""


class AbsentError(WorkerError):
    """Its library is not installed, or cannot do what was asked."""


class Worker:
    """The parent's side of one worker process, which ends with the ``with`` statement.

    The process starts at once; ``wait_until_ready`` tells when it is.
    """

    def __init__(
        self,
        kind: str,
        module: str,
        member: str,
        shape: str,
        task: Path,
        threads: int,
        *,
        timeout: float | None = None,
        variant: str | None = None,
    ):
        environment = {k: v for k, v in os.environ.items() if k not in _UNSET}
        environment |= dict.fromkeys(_THREADS, str(threads))
        if variant is not None:
            environment["CHAINRULE_VARIANT"] = variant
        place = [str(_FOLDER.parent), _FOLDER.name]
        arguments = [kind, module, member, shape, str(task), str(threads)]
        self._timeout = timeout
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *place, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment,
            # Ctrl-C is the parent's: it ends its workers itself.
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._collect, daemon=True).start()
        self.versions: dict[str, str] = {}

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception) -> None:
        self.end()

    def wait_until_ready(self) -> None:
        """Wait until the competitor has its network; AbsentError when there can be none."""
        answer = self._read()
        if "absent" in answer:
            raise AbsentError(answer["absent"])
        self.versions = answer["versions"]

    def check(self, path: Path) -> None:
        """Run what is compared, and save the result."""
        self._ask({"check": str(path)})

    def seconds(self) -> tuple[float, float]:
        """Time of one round, and the share of it that the main thread had no processor."""
        answer = self._ask({"round": True})
        return answer["seconds"], answer["waiting"]

    def train(self, epochs: int) -> float:
        """Time of so many epochs of a training step's workload."""
        return self._ask({"epochs": epochs})["seconds"]

    def end(self) -> None:
        """End the process and those that it has started, at once."""
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (AttributeError, OSError):  # no process groups here
                self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._errors):
            with contextlib.suppress(OSError):  # a request that nobody read
                file.close()

    def _ask(self, request: dict) -> dict:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerError(self._reason()) from None
        return self._read()

    def _collect(self) -> None:
        with self._process.stdout as answers:
            for line in answers:
                self._answers.put(line)
        self._answers.put("")

    def _read(self) -> dict:
        try:
            line = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            raise WorkerError(f"gave no answer in {self._timeout:g} s") from None
        if not line:
            raise WorkerError(self._reason())
        answer = json.loads(line)
        if "failed" in answer:
            raise WorkerError(answer["failed"])
        return answer

    def _reason(self) -> str:
        code = self._process.wait()
        try:
            ended = f"ended by {signal.Signals(-code).name}"
        except ValueError:
            ended = f"ended with exit code {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"{ended}: {lines[-1][:_LONGEST_REASON]}" if lines else ended


def main(kind: str, module: str, member: str, shape: str, task: str, threads: str) -> None:
    """Answer requests until standard input ends."""
    # Standard output is for answers alone; what a library prints goes where its errors go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        _serve(answer, kind, module, member, shape, Path(task), int(threads))
    except (Exception, SystemExit) as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        answer({"failed": text[:_LONGEST_REASON]})
    os._exit(0)  # a library's threads may not want to end


def _serve(answer, kind, module, member, shape, task_path, threads) -> None:
    import numpy as np

    from . import workloads

    try:
        make = workloads.load(kind, module, member)
    except ImportError as error:
        answer({"absent": " ".join(f"cannot be imported: {error}".split())[:_LONGEST_REASON]})
        return
    workload = workloads.kind_of(kind)
    task = workload.load_task(shape, task_path)
    try:
        runner = make(task, threads)
    except NotImplementedError as error:
        answer({"absent": str(error)})
        return
    answer({"versions": _versions()})
    for line in sys.stdin:
        request = json.loads(line)
        if "check" in request:
            np.save(request["check"], workload.check(runner, task))
            answer({})
        elif "epochs" in request:
            answer({"seconds": workload.train(runner, task, request["epochs"], warm_up=0)})
        else:
            began = time.perf_counter(), time.thread_time()
            seconds = workload.seconds(runner, task)
            computing = (time.thread_time() - began[1]) / (time.perf_counter() - began[0])
            answer({"seconds": seconds, "waiting": max(0.0, 1.0 - computing)})


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = {
        "numpy": "numpy",
        "chainrule": "chainrule",
        "torch": "torch",
        "jax": "jax",
        "sklearn": "scikit-learn",
        "nnengine": "nn-engine-core",
    }
    found = {}
    for module, distribution in names.items():
        if module in sys.modules:
            try:
                found[distribution] = metadata.version(distribution)
            except metadata.PackageNotFoundError:
                found[distribution] = "unknown"
    return found
