"""Times chainrule and its peers, shape by shape, each in processes of its own.

`chainrule bench` calls it. First all competitors compute the same from the same start; one whose
result differs from NumPy's is reported and not timed. Then they take turns for some rounds. What
each of them needs is in ``workloads/``; what the numbers mean, in ``summary.py``.
"""

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import machine, summary, workloads
from .worker import AbsentError, Worker, WorkerError

# Thread pools of OpenMP and OpenBLAS spin for some milliseconds when their work is done.
PAUSE_SECONDS = 0.05

# Rounds before the first that counts: a new process may have all its threads on one processor, and
# it takes the system some tenths of a second of work to move them apart.
SETTLING_ROUNDS = 2

FORMAT = 2  # of the report; a change that a reader must know of counts it up


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    shapes: list[str]
    peers: list[str]  # chainrule apart
    threads: list[int]  # that are allowed; ascending
    rounds: int
    dtype: str
    precision: str  # of chainrule's products
    variant: str | None  # of chainrule; None: the one that it takes by itself
    timeout: float  # seconds that a competitor may take for an answer


class Run:
    """One run; ``report`` grows while it goes on, so that an interrupted one shows what it has.

    ``advance(shape)`` is called when a competitor was checked or has ended a round, ``n_advances``
    times at most.
    """

    def __init__(self, plan: Plan, advance: Callable[[str], None] = lambda shape: None):
        self.plan = plan
        self.advance = advance
        self._kinds = workloads.find_shapes()
        self.report: dict = {
            "format": FORMAT,
            "machine": machine.describe(),
            "versions": {},
            "plan": {
                "shapes": plan.shapes,
                "peers": plan.peers,
                "threads": plan.threads,
                "rounds": plan.rounds,
                "dtype": plan.dtype,
                "precision": plan.precision,
                "timeout": plan.timeout,
            },
            "complete": False,
            "results": [],
        }

    @property
    def n_advances(self) -> int:
        """How often ``advance`` is called at most."""
        n_entries = sum(len(self._entries(shape)) for shape in self.plan.shapes)
        return n_entries * (1 + SETTLING_ROUNDS + self.plan.rounds)

    def results(self) -> Iterator[dict]:
        """Measure; yield the result of each shape, which is in the report then."""
        for shape in self.plan.shapes:
            self._measure_peak()
            result = {"shape": shape} | self._describe(shape) | {"entries": self._entries(shape)}
            try:
                self._measure(shape, result["entries"])
            finally:
                # After Ctrl-C too: the rounds that were ended count.
                self.report["results"].append(result)
                for one in self.report["results"]:
                    summary.complete(one, self._peaks(), self.plan.threads)
            yield result
        self.report["complete"] = True

    def _measure_peak(self) -> None:
        """Keep the highest of those before every shape: one second of others' work lowers it."""
        found = machine.measure_peak(self.plan.threads, self.plan.variant)
        for dtype, by_threads in self.report.get("peak", {}).items():
            for threads, flops in by_threads.items():
                found["peak"][dtype][threads] = max(flops, found["peak"][dtype][threads])
        self.report |= found

    def _peaks(self) -> dict[str, float] | None:
        """Return what shares are shares of; none is for products of bf16 terms, which go beyond."""
        return (
            self.report["peak"][self.plan.dtype] if self.plan.precision == self.plan.dtype else None
        )

    def _precision(self, name: str, competitor: workloads.Competitor) -> str:
        """Return the precision of a competitor's products."""
        if name == "chainrule":
            return self.plan.precision
        return competitor.precision or self.plan.dtype

    def _describe(self, name: str) -> dict:
        kind = workloads.kind_of(self._kinds[name])
        shape = kind.SHAPES[name]
        return {
            "workload": self._kinds[name],
            "unit": kind.UNIT,
            "widths": list(shape.widths),
            "activation": shape.activation,
            "batch_size": shape.batch_size,
            "flops": kind.flops(name),
        }

    def _entries(self, shape: str) -> list[dict]:
        """Return an entry for each process: competitor, setting, threads."""
        competitors = workloads.kind_of(self._kinds[shape]).COMPETITORS
        names = [name for name in ("chainrule", *self.plan.peers) if name in competitors]
        return [
            {
                "competitor": name,
                "setting": setting,
                "threads": threads,
                "precision": self._precision(name, competitors[name]),
                "status": "waiting",
            }
            for name in names
            for setting in competitors[name].settings
            for threads in self.plan.threads
        ]

    def _measure(self, shape: str, entries: list[dict]) -> None:
        kind = workloads.kind_of(self._kinds[shape])
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            path = Path(folder, "task.npz")
            task = kind.make_task(shape, self.plan.dtype, self.plan.precision)
            task.save(path)
            needed = len(entries) * 8 * task.parameters.nbytes / 1e9
            available = machine.available_memory_gb()
            if available is not None and needed > available:
                reason = f"{len(entries)} processes need some {needed:.0f} GB of memory"
                for entry in entries:
                    entry |= {"status": "absent", "reason": reason}
                return
            # NumPy comes first, whether it is timed or not: its result is the reference.
            try:
                with self._start(shape, path, "numpy", "", 1) as worker:
                    worker.wait_until_ready()
                    reference = self._result(worker, folder)
            except WorkerError as error:
                for entry in entries:
                    entry |= {"status": "failed", "reason": f"no reference, for NumPy {error}"}
                return
            running = []
            for entry in entries:
                reason = self._absence(kind.COMPETITORS[entry["competitor"]])
                if reason is not None:
                    entry |= {"status": "absent", "reason": reason}
                    continue
                who = (entry["competitor"], entry["setting"], entry["threads"])
                running.append((entry, stack.enter_context(self._start(shape, path, *who))))
            for entry, worker in running:
                with self._reported(entry, worker):
                    worker.wait_until_ready()
                    distance = kind.distance(self._result(worker, folder), reference, task)
                    entry["distance"] = distance
                    self.report["versions"] |= worker.versions
                    if not distance <= kind.TOLERANCES[entry["precision"]]:
                        raise _DiffersError(f"differs from NumPy by {distance:.1e}")
                    entry |= {"status": "timed", "times": [], "waiting": []}
                self.advance(shape)
            for number in range(-SETTLING_ROUNDS, self.plan.rounds):
                timed = [(e, worker) for e, worker in running if e["status"] == "timed"]
                # Each round begins with another one, so that nobody always follows the same.
                first = number % max(len(timed), 1)
                for entry, worker in timed[first:] + timed[:first]:
                    time.sleep(PAUSE_SECONDS)
                    with self._reported(entry, worker):
                        seconds, waiting = worker.seconds()
                        if number >= 0:
                            entry["times"].append(seconds / kind.units(shape) * 1e6)
                            entry["waiting"].append(waiting)
                    self.advance(shape)

    def _start(self, shape: str, path: Path, name: str, setting: str, threads: int) -> Worker:
        kind = self._kinds[shape]
        competitor = workloads.kind_of(kind).COMPETITORS[name]
        return Worker(
            kind,
            competitor.module,
            competitor.settings[setting],
            shape,
            path,
            threads,
            timeout=self.plan.timeout,
            variant=self.plan.variant if competitor.library == "chainrule" else None,
        )

    def _absence(self, competitor: workloads.Competitor) -> str | None:
        if importlib.util.find_spec(competitor.library) is None:
            return f"is not installed (pip install {competitor.distribution})"
        if self.plan.dtype not in competitor.dtypes:
            return f"is measured in {' and '.join(competitor.dtypes)} only"
        return None

    @staticmethod
    def _result(worker: Worker, folder: str) -> np.ndarray:
        path = Path(folder, "result.npy")
        worker.check(path)
        return np.load(path)

    @staticmethod
    @contextmanager
    def _reported(entry: dict, worker: Worker) -> Iterator[None]:
        """Note in the entry what goes wrong, and end the worker."""
        try:
            yield
        except WorkerError as error:
            status = {AbsentError: "absent", _DiffersError: "differs"}.get(type(error), "failed")
            entry |= {"status": status, "reason": str(error)}
            worker.end()


class _DiffersError(WorkerError):
    """Its result is not that of NumPy."""
