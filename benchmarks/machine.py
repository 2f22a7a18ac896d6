"""What a result must say about where it was taken; no host names, no paths."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

_FEATURES = ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "amx_tile", "asimd", "sve")


def n_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, object]:
    """Machine, date and commit."""
    root = Path(__file__).resolve().parent.parent
    return {
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cpus": n_cpus(),
        "features": _features(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "commit": _git(root, "rev-parse", "--short", "HEAD"),
        "changed_since_commit": bool(_git(root, "status", "--porcelain")),
    }


def _features() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    found = {
        word
        for line in text.splitlines()
        if line.lower().startswith(("flags", "features"))
        for word in line.split(":", 1)[1].split()
    }
    return [feature for feature in _FEATURES if feature in found]


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
