"""What a result must say about where it was taken; no host names, no paths."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_FEATURES = ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "amx_bf16", "asimd", "sve")

_PEAK = """
import json, sys
import chainrule.runtime as runtime
print(json.dumps({
    "variants": runtime.variants(),
    "variant": runtime.active_variant(),
    "bf16_tiles": runtime.has_bf16_tiles(),
    "peak": {
        dtype: {n: runtime.peak_flops(int(n), dtype) for n in sys.argv[1:]}
        for dtype in ("float32", "float64")
    },
}))
"""


def n_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, object]:
    """Machine, date and commit."""
    root = _checkout()
    words = _cpu_words()
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cpus": n_cpus(),
        "memory_gb": _memory_gb("MemTotal"),
        "virtual": "hypervisor" in words,
        "features": [feature for feature in _FEATURES if feature in words],
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git(root, "rev-parse", "--short", "HEAD") if root else None,
        "changed_since_commit": bool(root and _git(root, "status", "--porcelain")),
    }


def measure_peak(threads: list[int], variant: str | None) -> dict[str, Any]:
    """Return variants and peak of chainrule: operations a second by type and number of threads.

    And whether the variant multiplies bf16 by tiles.
    """
    environment = dict(os.environ)
    if variant is not None:
        environment["CHAINRULE_VARIANT"] = variant
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *map(str, threads)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def available_memory_gb() -> float | None:
    """Memory that new processes may have; None where that is not known."""
    return _memory_gb("MemAvailable")


def _memory_gb(label: str) -> float | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith(f"{label}:"):
            return round(int(line.split()[1]) / 1e6, 1)
    return None


def _cpu_words() -> set[str]:
    return {
        word
        for line in _read("/proc/cpuinfo").splitlines()
        if line.lower().startswith(("flags", "features"))
        for word in line.split(":", 1)[1].split()
    }


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _checkout() -> Path | None:
    """Return the checkout of chainrule that the current folder is in, if it is in one."""
    top = _git(Path.cwd(), "rev-parse", "--show-toplevel")
    if top and Path(top, "python", "chainrule").is_dir():
        return Path(top)
    return None


def _git(root: Path, *arguments: str) -> str | None:
    return _output("git", "-C", str(root), *arguments)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
