"""What a fit may take: four buffers of the parameters, the activations of a batch, and 64 MiB."""

import json
import os
import subprocess
import sys

import pytest

import chainrule as cr

pytestmark = pytest.mark.once

MIB = 1 << 20
SPARE = 64 * MIB

# In a process of its own, whose heap has no holes of earlier work to hide in. The interpreter,
# NumPy and the data are there before.
MEASURED = """
import json, sys
import numpy as np
import chainrule as cr

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))

case = json.loads(sys.argv[1])
widths = case["widths"]
X = np.ones((case["rows"], widths[0]), np.float32)
y = np.ones((case["rows"], widths[-1]), np.float32)
before = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
model = cr.MLP(widths, **case["options"])
model.fit(X, y, loss="mse", batch_size=case["batch_size"], epochs=case["epochs"], progress=False)
print(resident("VmHWM") - before)
del X, y
print(resident("VmRSS") - before)
"""


def peak(*args, **kwargs):
    """Bytes that a fit with Adam takes at most, beyond the memory before the model was made."""
    return measured(*args, **kwargs)[0]


def measured(widths, batch_size, n_batches=2, epochs=1, options=None):
    """Bytes that a fit takes at most, and those that are left when its data are gone.

    Beyond the memory before the model was made, when the data were there.
    """
    case = {
        "widths": widths,
        "rows": n_batches * batch_size,
        "batch_size": batch_size,
        "epochs": epochs,
        "options": options or {},
    }
    # An address sanitizer would keep what was freed.
    settings = [os.environ[name] for name in ("ASAN_OPTIONS",) if name in os.environ]
    environment = os.environ | {"ASAN_OPTIONS": ":".join([*settings, "quarantine_size_mb=1"])}
    command = [sys.executable, "-c", MEASURED, json.dumps(case)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    return [int(line) for line in done.stdout.split()]


if sys.platform == "linux":

    @pytest.mark.parametrize(
        ("widths", "batch_size", "kept", "options"),
        [
            # Panels of the weights, 2 x 19 MiB, are in the 64; the second has no room for them.
            pytest.param([256, 2048, 2048, 8], 64, 1, {}, id="panels"),
            pytest.param([1024, 4096, 1024], 32, 1, {}, id="no panels"),
            # Gradients of the outputs are in the 64 too: of some rows at a time.
            pytest.param([8, 64, 64, 1], 65536, 1, {}, id="large batch"),
            pytest.param([8, 1024, 1024, 1], 8192, 1, {}, id="large batch, wide"),
            pytest.param([8, 256, 256, 1], 8192, 2, {"activation": "gelu"}, id="saved input"),
            pytest.param([8, 256, 256, 1], 8192, 2, {"norm": "layer"}, id="layer norm"),
            pytest.param([8, 256, 256, 1], 8192, 2, {"norm": "batch"}, id="batch norm"),
            pytest.param([8, 256, 256, 1], 8192, 3, {"dropout": 0.5}, id="dropout"),
        ],
    )
    def test_a_fit_stays_within_its_memory(widths, batch_size, kept, options):
        buffers = 4 * cr.MLP(widths, **options).parameters.nbytes
        # Inputs, targets and outputs of a batch, and what the backward pass reads of each layer.
        hidden = sum(widths[1:-1])
        activations = 4 * batch_size * (widths[0] + kept * hidden + 2 * widths[-1])
        taken = peak(widths, batch_size, options=options)
        assert taken <= buffers + activations + SPARE
        # The measurement sees what cannot be saved.
        rows = batch_size if options.get("norm") == "batch" else min(batch_size, 1024)
        assert taken >= buffers + 4 * rows * hidden

    @pytest.mark.parametrize("widths", [[64, 100, 100, 5], [64, 300, 300, 5]])
    def test_a_larger_batch_takes_no_more(widths):
        options = {"activation": "gelu", "dropout": 0.1, "norm": "layer"}
        sizes = (32_768, 98_304)  # whole parts: parts of other batches may have 64 rows fewer
        small, large = (peak(widths, size, options=options) for size in sizes)
        order = 2 * 8 * (sizes[1] - sizes[0])  # of the rows
        assert large <= small + order + MIB

    def test_more_epochs_take_no_more():
        once, often = (peak([64, 256, 256, 1], 1024, epochs=epochs) for epochs in (1, 30))
        assert often <= once + MIB

    def test_data_of_the_right_type_are_not_copied():
        # 64 MiB of them; the order of the rows takes 2.
        taken = peak([64, 8, 1], 64, n_batches=4096)
        assert taken <= 8 * MIB

    def test_a_fit_leaves_nothing_of_the_size_of_its_data():
        # The order of the rows takes 16 MiB, X and y 16 MiB.
        n_rows = 2**21
        taken, left = measured([1, 1], 4096, n_batches=n_rows // 4096)
        assert taken >= 8 * n_rows
        assert left <= 4 * MIB - 8 * n_rows
