"""Write state_dicts.npz: state dictionaries of PyTorch modules and the modules' outputs.

Run by hand with torch==2.13.0; tests/python/exchange/test_exchange_state_dict.py reads the file and
needs no PyTorch. Keys are case/config (JSON: the activation, its parameter, the norm), case/x,
case/y and case/state/<key of the state dictionary>, in the dictionary's order. Parameters and
inputs are float32 numbers; outputs are computed in float64, in eval mode, with running statistics
of three batches.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

TORCH_VERSION = "2.13.0"
PATH = Path(__file__).with_name("state_dicts.npz")
ACTIVATIONS = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.25),
    "elu": nn.ELU(1.5),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "softplus": nn.Softplus(threshold=40),
}
PARAMETERS = {"leaky_relu": {"negative_slope": 0.25}, "elu": {"alpha": 1.5}}
NORMS = {None: [], "layer": [nn.LayerNorm], "batch": [nn.BatchNorm1d]}


def main() -> None:
    if torch.__version__.split("+")[0] != TORCH_VERSION:
        sys.exit(f"torch {TORCH_VERSION} expected, {torch.__version__} found")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    entries = {"torch": np.array(torch.__version__)}
    norms = list(NORMS)
    for i, (name, activation) in enumerate(ACTIVATIONS.items()):
        norm = norms[(i + i // 3) % 3]
        between = [make(7) for make in NORMS[norm]]
        module = nn.Sequential(
            nn.Linear(4, 7, bias=i % 4 != 1), *between, activation, nn.Linear(7, 3)
        )
        for parameter in module.parameters():
            parameter.data.normal_()
        for _ in range(3):
            module(torch.randn(16, 4))
        x = torch.randn(10, 4)
        config = {"activation": name, "parameters": PARAMETERS.get(name, {}), "norm": norm}
        entries[f"{name}/config"] = np.array(json.dumps(config))
        entries[f"{name}/x"] = x.numpy()
        for key, value in module.state_dict().items():
            entries[f"{name}/state/{key}"] = value.numpy().copy()
        with torch.no_grad():
            entries[f"{name}/y"] = module.double().eval()(x.double()).numpy()
    np.savez_compressed(PATH, **entries)
    print(f"{PATH.name}: {len(entries)} entries, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
