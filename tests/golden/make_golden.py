"""Write golden.npz: inputs and outputs of everything chainrule computes, made with PyTorch.

Run by hand when a kernel is added, with torch==2.13.0 and scipy installed; the tests
(tests/python/kernels/test_golden.py) read the file and need neither. Every array is float64 PyTorch
on inputs that are float32 numbers, so that the same inputs are exact in both precisions.

Keys are group/case/field. Each case has a field "config", a JSON object; the other fields are
plain arrays: inputs in float32, results in float64. What the cases of a group share stands under
the case "common".
"""

import datetime
import json
import sys
from pathlib import Path

import elementwise
import layers
import losses
import networks
import numpy as np
import optimizers
import torch

TORCH_VERSION = "2.13.0"
PATH = Path(__file__).with_name("golden.npz")


def main() -> None:
    if torch.__version__.split("+")[0] != TORCH_VERSION:
        sys.exit(f"torch {TORCH_VERSION} expected, {torch.__version__} found")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # one order of summation
    entries = {
        "meta/torch": np.array(torch.__version__),
        "meta/date": np.array(datetime.date.today().isoformat()),
    }
    for module in (elementwise, losses, layers, optimizers, networks):
        for group, cases in module.groups().items():
            for case, fields in cases.items():
                for field, value in fields.items():
                    array = np.array(json.dumps(value)) if field == "config" else np.asarray(value)
                    assert array.dtype != object, (group, case, field)
                    assert array.dtype.kind == "U" or np.isfinite(array).all(), (group, case, field)
                    entries[f"{group}/{case}/{field}"] = array
            print(f"{group}: {len(cases)} cases")
    np.savez_compressed(PATH, **entries)
    print(f"{PATH.name}: {len(entries)} entries, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
