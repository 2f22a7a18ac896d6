"""PyTorch: fused Adam, denormals flushed to zero unless the name says otherwise.

In bf16 it runs as its guide to mixed precision has it: parameters in float32, forward and loss
under ``torch.autocast``, the backward pass outside of it.
"""

import numpy as np
import torch

from .shapes import LEARNING_RATE, Task


class Torch:
    """Eager mode."""

    flush = True
    compiled = False

    def __init__(self, task: Task, threads: int):
        torch.set_num_threads(threads)
        torch.set_flush_denormal(self.flush)
        self.task = task
        shape = task.shape
        activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[shape.activation]
        modules = []
        for weight, bias in task.split(task.parameters):
            linear = torch.nn.Linear(*weight.shape, dtype=torch.from_numpy(weight).dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.T.copy()))
                linear.bias.copy_(torch.from_numpy(bias.copy()))
            modules += [linear, activation()]
        self.model = torch.nn.Sequential(*modules[:-1])
        self.loss = {"mse": torch.nn.MSELoss, "cross_entropy": torch.nn.CrossEntropyLoss}[
            shape.loss
        ]()
        self.optimizer = torch.optim.Adam(self.model.parameters(), LEARNING_RATE, fused=True)
        self.X = torch.from_numpy(task.X)
        self.y = torch.from_numpy(task.y)
        if self.y.dtype == torch.int32:
            self.y = self.y.long()
        self.forward = self.objective
        if self.compiled:
            # A program for each size of batch: with sizes left open it is slower.
            self.forward = torch.compile(self.objective, dynamic=False)

    def objective(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Loss of one batch."""
        return self.loss(self.model(X), y)

    def run(self, orders: list[np.ndarray]) -> None:
        """Train one epoch for each order."""
        for order in orders:
            for batch in torch.from_numpy(order).split(self.task.shape.batch_size):
                loss = self.forward(self.X[batch], self.y[batch])
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()

    def weights(self) -> np.ndarray:
        """Return the flat parameters."""
        with torch.no_grad():
            parts = [p.t().reshape(-1) for p in self.model.parameters()]
            return torch.cat(parts).numpy()


class TorchNoFlush(Torch):
    """Eager mode with PyTorch's default: denormals are kept."""

    flush = False


class TorchCompile(Torch):
    """``torch.compile`` of forward and backward; needs a C++ compiler, and minutes."""

    compiled = True


class TorchBf16(Torch):
    """Eager mode with products in bf16."""

    def objective(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Loss of one batch."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().objective(X, y)


class TorchBf16NoFlush(TorchBf16):
    """The same with denormals kept."""

    flush = False
