"""One BLAS thread for NumPy, unless the environment says otherwise; the report's header tells."""

import os
import sys

_TOO_LATE = "numpy" in sys.modules
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_report_header() -> str:
    """Name what was measured."""
    import chainrule as cr

    threads = "unknown" if _TOO_LATE else os.environ["OPENBLAS_NUM_THREADS"]
    return f"chainrule: variant {cr.runtime.active_variant()}; BLAS threads of NumPy: {threads}"
