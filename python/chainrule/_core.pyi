# The compiled module, name by name; tests/house/test_codebase.py compares this file with it.
#
# It checks what memory depends on: arrays are C-contiguous, aligned and of one dtype, they fit each
# other (ValueError and TypeError name the argument), and none that is written overlaps another. For
# the rest it trusts its caller: the public modules beside this file convert arrays and check names
# and numbers first. `out` and gradients are written where they are given; None makes new ones.

from collections.abc import Sequence
from contextvars import Token
from typing import Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

# The element type of a network or of a kernel call; one call never mixes the two.
Floats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int32]

class ActivationInfo(TypedDict):
    saved: Literal["input", "output"]  # what the backward pass reads
    parameter: str | None
    default: float

class LossInfo(TypedDict):
    targets: Literal["values", "labels"]
    link: str  # what the outputs mean, a name of links()
    parameter: str | None
    default: float

# --- runtime -------------------------------------------------------------------------------------

__version__: str

def activations() -> dict[str, ActivationInfo]: ...
def links() -> dict[str, int | None]: ...  # outputs for one target; None: one for each value
def losses() -> dict[str, LossInfo]: ...
def optimizers() -> dict[
    str, list[str]
]: ...  # name -> hyperparameters in the order of OptimizerSpec
def line_searches() -> list[str]: ...  # the optimizers that have no step
def schedules() -> dict[str, list[str]]: ...  # name -> parameters in the order of ScheduleSpec
def initializers() -> list[str]: ...
def math_functions() -> list[str]: ...
def precisions() -> list[str]: ...  # of float32; float64 has "float64" alone
def has_tiles() -> bool: ...  # whether the active variant multiplies bf16 by tiles
def compiled_variants() -> list[str]: ...  # best first
def variants() -> list[str]: ...  # those that this machine runs, best first
def active_variant() -> str: ...  # of the innermost block in this context, else the default
def set_variant(name: str) -> None: ...  # the default; ValueError for a name not in variants()
def enter_variant(name: str) -> Token[object]: ...  # opens a block in this context
def leave_variant(token: Token[object]) -> None: ...  # ValueError in another context
def build_config() -> dict[str, str]: ...
def num_threads() -> int: ...  # ValueError for a wrong CHAINRULE_NUM_THREADS
def set_num_threads(threads: int) -> None: ...  # 0: what environment or machine give
def peak_flops(threads: int, dtype: Literal["float32", "float64"]) -> float: ...  # a second

# --- kernels over plain arrays -------------------------------------------------------------------

def all_finite(x: Floats) -> bool: ...
def math_function(name: str, x: Floats, out: Floats | None) -> Floats: ...
def activation_forward(
    name: str, parameter: float, x: Floats, out: Floats | None
) -> Floats: ...  # out may be x
def activation_backward(
    name: str, parameter: float, grad_output: Floats, saved: Floats, out: Floats | None
) -> Floats: ...  # out may be grad_output or saved
def dense_forward(
    x: Floats,  # (batch_size, in_features)
    w: Floats,  # (in_features, out_features)
    b: Floats | None,  # (out_features,)
    activation: str,
    parameter: float,
    preactivation: Floats | None,  # written when given, (batch_size, out_features)
    out: Floats | None,  # (batch_size, out_features)
    precision: str,
    threads: int,
) -> Floats: ...
def dense_backward(
    grad_preactivation: Floats,  # (batch_size, out_features)
    x: Floats,
    w: Floats,
    need_grad_x: bool,
    need_grad_w: bool,  # and of b
    grad_x: Floats | None,
    grad_w: Floats | None,
    grad_b: Floats | None,
    precision: str,
    threads: int,
) -> tuple[Floats | None, Floats | None, Floats | None]: ...  # of x, w and b
def layer_norm_forward(
    x: Floats,  # (batch_size, features)
    scale: Floats,  # (features,)
    shift: Floats,
    epsilon: float,
    out: Floats | None,
) -> tuple[Floats, Floats, Floats]: ...  # the fields of kernels.LayerNorm
def layer_norm_backward(
    grad_output: Floats, normalized: Floats, inverse_deviation: Floats, scale: Floats
) -> tuple[Floats, Floats, Floats]: ...  # of x, scale and shift
def batch_norm_forward(
    x: Floats, scale: Floats, shift: Floats, epsilon: float, out: Floats | None
) -> tuple[Floats, Floats, Floats, Floats, Floats]: ...  # the fields of kernels.BatchNorm
def batch_norm_predict(
    x: Floats,
    scale: Floats,
    shift: Floats,
    running_mean: Floats,
    running_variance: Floats,
    epsilon: float,
    out: Floats | None,
) -> Floats: ...
def batch_norm_backward(
    grad_output: Floats, normalized: Floats, inverse_deviation: Floats, scale: Floats
) -> tuple[Floats, Floats, Floats]: ...
def dropout_mask(
    seed: int,
    layer: int,
    step: int,
    probability: float,
    shape: Sequence[int],
    dtype: str,
    out: Floats | None,
) -> Floats: ...

# 0 or 1 / (1 - probability) for element i of `out`, from the Philox counter (layer, step, i)

def permutation(seed: int, epoch: int, size: int) -> npt.NDArray[np.int64]: ...
def initialize(
    name: str, seed: int, layer: int, shape: Sequence[int], dtype: str, out: Floats | None
) -> Floats: ...  # shape: (in_features, out_features)

class LossSpec:
    def __init__(self, name: str, parameter: float = 0.0, values: Sequence[float] = ()) -> None: ...
    # values: the levels of quantile, the class weights of cross_entropy, else empty

def loss(
    spec: LossSpec,
    outputs: Floats,  # (batch_size, n_outputs)
    targets: Floats | Labels,  # (batch_size, columns that the loss has); Labels (batch_size,)
    sample_weight: Floats | None,  # (batch_size,)
    reduction: Literal["mean", "sum"],
) -> float: ...
def loss_and_gradient(
    spec: LossSpec,
    outputs: Floats,
    targets: Floats | Labels,
    sample_weight: Floats | None,
    reduction: Literal["mean", "sum"],
    out: Floats | None,
) -> tuple[float, Floats]: ...

class OptimizerSpec:
    def __init__(self, name: str, weight_decay: float, values: Sequence[float]) -> None: ...

def optimizer_states(spec: OptimizerSpec) -> list[bool]: ...  # which of the three buffers it keeps
def optimizer_starts(spec: OptimizerSpec) -> list[float]: ...  # what all their elements are first
def optimizer_step(
    spec: OptimizerSpec,
    step: int,  # 1 for the first
    learning_rate: float,
    parameters: Floats,  # updated, flat
    gradient: Floats,
    states: Sequence[Floats | None],  # three; updated where optimizer_states says True
    clip_value: float,  # 0: no clipping; else gradient elements are clamped to +-clip_value
    grad_scale: float,  # the gradient is multiplied by it first (clipping by norm)
) -> None: ...

class ScheduleSpec:
    def __init__(self, name: str, learning_rate: float, values: Sequence[float]) -> None: ...

def schedule_value(
    spec: ScheduleSpec, step: int, steps_per_epoch: int, total_steps: int
) -> float: ...

# --- network -------------------------------------------------------------------------------------

class LayerSpec:
    def __init__(
        self,
        out_features: int,
        activation: str,
        parameter: float,
        dropout: float,
        norm: Literal["none", "layer", "batch"],
        bias: bool,
        initializer: str,
        standardizes: bool,
    ) -> None: ...

class ParameterBlock(TypedDict):
    layer: int
    role: Literal["weight", "bias", "scale", "shift"]
    offset: int  # into the flat buffer
    shape: tuple[int, ...]

class _Network:
    def __init__(self, in_features: int, layers: Sequence[LayerSpec], seed: int) -> None: ...
    @property
    def parameters(self) -> Floats: ...  # flat, a writable view
    @property
    def gradient(self) -> Floats: ...  # flat, a writable view, same layout
    @property
    def running_statistics(
        self,
    ) -> Floats: ...  # flat: running mean, running variance per batch-norm layer; input statistics
    @property
    def is_ready(self) -> bool: ...  # not before inputs that are to be standardized are fitted
    def standardize(self, x: Floats) -> None: ...  # ValueError for deviations out of range
    def parameter_blocks(self) -> list[ParameterBlock]: ...
    def initialize(self, seed: int) -> None: ...
    precision: str
    def predict(
        self, x: Floats, threads: int, precision: str | None = None
    ) -> Floats: ...  # None: the model's

    # None unless x is a finite matrix that needs no conversion, and the network ready
    def predict_if_valid(self, x: object, threads: int) -> Floats | None: ...
    def forward(self, x: Floats, training: bool, step: int, out: Floats, threads: int) -> None: ...

    # training: batch statistics (committed to the running ones) and dropout masks of `step`;
    # keeps x and the activations for backward

    def forget_forward(self) -> None: ...  # lets go of its x
    def backward(
        self, grad_output: Floats, grad_x: Floats | None, shards: int, threads: int
    ) -> None: ...  # writes gradient
    def loss_and_gradient(
        self,
        x: Floats,
        targets: Floats | Labels,
        loss: LossSpec,
        sample_weight: Floats | None,
        reduction: Literal["mean", "sum"],
        l1: float,
        l2: float,
        penalize_biases: bool,
        training: bool,
        step: int,
        grad_x: Floats | None,
        shards: int,  # 0: as many as are fastest
        threads: int,
    ) -> float: ...  # writes gradient; changes neither parameters nor running statistics

class Network32(_Network): ...
class Network64(_Network): ...

# --- training ------------------------------------------------------------------------------------

# What ended a run; with the last four something was not finite, and the step was not taken.
Status: TypeAlias = Literal[
    "running",
    "epoch_end",
    "converged",
    "line_search",
    "loss",
    "gradient",
    "parameters",
    "statistics",
]

class _Trainer:
    def __init__(
        self,
        model: _Network,
        loss: LossSpec,
        optimizer: OptimizerSpec,
        schedule: ScheduleSpec,
        l1: float,
        l2: float,
        penalize_biases: bool,
        divide_penalties: bool,  # by the weight of each batch
        clip_norm: float,  # 0: none
        clip_value: float,  # 0: none
        seed: int,
        shards: int,  # of a batch; 0: as many as are fastest
    ) -> None: ...

    epoch: int  # epochs completed
    step_count: int  # steps taken
    learning_rate: float  # of the last step
    learning_rate_scale: float  # multiplies the schedule (reduce-on-plateau)
    progress: tuple[int, int, float, float, float]

    # the place in the epoch after the completed ones: rows passed, steps taken, and over these
    # steps the sums of loss * weight, of weight, and of penalty * weight (0 for L-BFGS)

    lbfgs_memory: tuple[Floats, Floats, npt.NDArray[np.float64]] | None

    # only L-BFGS has it: changes of parameters and of gradients, each (pairs, n_parameters), oldest
    # first, and inverse curvatures; copies. To be set when the parameters are those of then.

    threads: int  # of the next step or run
    precision: str

    @property
    def evaluations(self) -> int: ...  # of the loss by L-BFGS
    @property
    def states(self) -> list[Floats | None]: ...  # writable views of the optimizer's buffers
    def step(
        self, x: Floats, targets: Floats | Labels, sample_weight: Floats | None
    ) -> tuple[Status, float]: ...  # and the mean loss of the batch
    def batch_count(self, rows: int, batch_size: int) -> int: ...  # of an epoch
    def bind(
        self,
        x: Floats,
        targets: Floats | Labels,
        sample_weight: Floats | None,
        batch_size: int,
        shuffle: bool,
        total_epochs: int,
    ) -> None: ...  # keeps the arrays; the next run goes on from the place in `progress`
    def unbind(self) -> None: ...
    def run(self, max_steps: int) -> tuple[Status, int]: ...

    # up to max_steps steps of the current epoch, or to the end of its rows, and how many these
    # were; without the GIL; raises KeyboardInterrupt (weights: those of the last complete step)

    def finish_epoch(self) -> None: ...  # counts it; the next run starts another

class Trainer32(_Trainer): ...
class Trainer64(_Trainer): ...
