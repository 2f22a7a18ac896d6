"""One thread for NumPy's BLAS and for chainrule, unless OPENBLAS_NUM_THREADS says otherwise.

The report's header tells.
"""

import os
import sys

_TOO_LATE = "numpy" in sys.modules
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("CHAINRULE_NUM_THREADS", os.environ["OPENBLAS_NUM_THREADS"])


def pytest_report_header() -> str:
    """Name what was measured."""
    import chainrule as cr

    threads = "unknown" if _TOO_LATE else os.environ["OPENBLAS_NUM_THREADS"]
    return (
        f"chainrule: variant {cr.runtime.active_variant()}, threads: {cr.runtime.num_threads()}; "
        f"BLAS threads of NumPy: {threads}"
    )
