"""PyTorch: a module in evaluation mode under ``torch.inference_mode``."""

import numpy as np
import torch

from . import Task


class Torch:
    """The row and the outputs share their memory with NumPy's arrays."""

    def __init__(self, task: Task, threads: int):
        torch.set_num_threads(threads)
        modules = []
        for weight, bias in task.blocks():
            linear = torch.nn.Linear(*weight.shape, dtype=torch.from_numpy(weight).dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.T.copy()))
                linear.bias.copy_(torch.from_numpy(bias.copy()))
            modules += [linear, torch.nn.Tanh()]
        self.model = torch.nn.Sequential(*modules[:-1]).eval()

    @torch.inference_mode()
    def predict(self, row: np.ndarray) -> np.ndarray:
        """Return the outputs of one row."""
        return self.model(torch.from_numpy(row)).numpy()
