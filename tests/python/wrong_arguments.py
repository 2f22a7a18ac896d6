"""Values that no argument of a kind takes: made anew for each call, since some can be used once."""

import numpy as np
import scipy.sparse

import chainrule as cr


class Raising:
    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error("no array today")


class NoArray:
    def __array__(self, dtype=None, copy=None):
        return "text"


class ZeroDimensional:
    def __array__(self, dtype=None, copy=None):
        return np.array(3.0)


class WrongSignature:
    def __array__(self, one, two, three):
        return np.ones((4, 3))


class RaisingLength:
    def __len__(self):
        raise RuntimeError("no length")

    def __getitem__(self, i):
        raise RuntimeError("no items")


class RaisingAttributes:
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


class RaisingText:
    def __repr__(self):
        raise RuntimeError("no text")


def masked():
    return np.ma.masked_equal(np.arange(12.0).reshape(4, 3), 7)


ARRAYS = {
    "none": lambda: None,
    "int": lambda: 3,
    "float": lambda: 3.5,
    "bool": lambda: True,
    "str": lambda: "text",
    "bytes": lambda: b"x",
    "long_str": lambda: "x" * 10**5,
    "huge_int": lambda: 10**5000,
    "complex": lambda: 1j,
    "numpy_float": lambda: np.float32(3),
    "numpy_bool": lambda: np.bool_(True),
    "object": object,
    "generator": lambda: (row for row in [[1.0], [2.0]]),
    "dict": lambda: {0: [1.0, 2.0]},
    "set": lambda: {1.0, 2.0},
    "function": lambda: len,
    "zero_dimensions": lambda: np.array(3.0),
    "zero_dimensions_object": lambda: np.array({}, dtype=object),
    "ragged": lambda: [[1.0, 2.0], [3.0]],
    "deep_ragged": lambda: [[[1.0], 2.0], [3.0]],
    "nothing_in_it": lambda: [None, None],
    "huge_ints": lambda: [[2**70, 1], [1, 1]],
    "complex_array": lambda: np.ones((4, 3), complex),
    "datetime": lambda: np.zeros((4, 3), "datetime64[s]"),
    "timedelta": lambda: np.zeros((4, 3), "timedelta64[s]"),
    "structured": lambda: np.zeros((4, 3), [("a", float), ("b", int)]),
    "text_array": lambda: np.full((4, 3), "a"),
    "bytes_array": lambda: np.full((4, 3), b"a"),
    "objects": lambda: np.full((4, 3), object(), dtype=object),
    "masked": masked,
    "sparse": lambda: scipy.sparse.csr_matrix(np.ones((4, 3))),
    "sparse_array": lambda: scipy.sparse.coo_array(np.ones((4, 3))),
    "array_raises": lambda: Raising(RuntimeError),
    "array_raises_key_error": lambda: Raising(KeyError),
    "array_raises_type_error": lambda: Raising(TypeError),
    "array_raises_warning": lambda: Raising(DeprecationWarning),
    "no_array": NoArray,
    "array_of_no_dimension": ZeroDimensional,
    "wrong_signature": WrongSignature,
    "length_raises": RaisingLength,
    "attributes_raise": RaisingAttributes,
    "text_raises": RaisingText,
}
_ANYTHING = {
    "none": lambda: None,
    "str": lambda: "text",
    "long_str": lambda: "x" * 10**5,
    "bytes": lambda: b"x",
    "object": object,
    "dict": dict,
    "list": lambda: [1, "a"],
    "complex": lambda: 1j,
    "array": lambda: np.ones(2),
    "text_raises": RaisingText,
}
NUMBERS = {
    **_ANYTHING,
    "nan": lambda: np.nan,
    "inf": lambda: np.inf,
    "minus_inf": lambda: np.float32(-np.inf),
    "bool": lambda: True,
    "numpy_bool": lambda: np.bool_(False),
    "huge_int": lambda: 10**5000,
    "minus_huge_int": lambda: -(10**5000),
}
INTEGERS = {
    **NUMBERS,
    "float": lambda: 1.0,
    "numpy_float": lambda: np.float64(2),
    "negative": lambda: -1,
    "beyond_64_bits": lambda: 2**64,
}
FLAGS = {**_ANYTHING, "zero": lambda: 0, "one": lambda: 1, "nan": lambda: np.nan}
NAMES = {**_ANYTHING, "int": lambda: 3, "nan": lambda: np.nan, "numpy_bool": lambda: np.bool_(True)}
SEQUENCES = {
    **NAMES,
    "nan_in_it": lambda: [0.5, np.nan],
    "empty": list,
    "huge_int": lambda: 10**5000,
    "huge_ints": lambda: [10**5000],
}
SHAPES = {
    **SEQUENCES,
    "negative": lambda: (2, -1),
    "too_many": lambda: (1,) * 40,
    "too_large": lambda: (2**31, 2**31),
    "too_large_without_rows": lambda: (0, 2**62),
    "floats": lambda: (2.0, 3.0),
}
STATES = {
    **{name: ARRAYS[name] for name in ("none", "int", "str", "bytes", "object", "generator")},
    **{name: ARRAYS[name] for name in ("dict", "set", "zero_dimensions", "text_raises")},
    "too_few": lambda: [None],
    "numbers": lambda: [1.0, 2.0, 3.0],
    "lists": lambda: [[1.0]] * 3,
}
OF_KIND = {
    "array": ARRAYS,
    "flag": FLAGS,
    "integer": INTEGERS,
    "name": NAMES,
    "number": NUMBERS,
    "sequence": SEQUENCES,
    "shape": SHAPES,
    "states": STATES,
}

# What an argument of this name is, in whatever function.
KINDS = {
    **dict.fromkeys(("x", "w", "b", "grad_preactivation", "grad_output", "saved"), "array"),
    **dict.fromkeys(("normalized", "inverse_deviation", "scale", "shift"), "array"),
    **dict.fromkeys(("running_mean", "running_variance", "outputs", "targets"), "array"),
    **dict.fromkeys(("sample_weight", "parameters", "gradient"), "array"),
    **dict.fromkeys(("out", "preactivation", "grad_x", "grad_w", "grad_b"), "array"),
    **dict.fromkeys(("X", "y", "grad_outputs"), "array"),
    **dict.fromkeys(("need_grad_x", "nesterov", "centered", "amsgrad", "epsilon_hat"), "flag"),
    **dict.fromkeys(("training", "penalize_biases", "shuffle", "resume"), "flag"),
    **dict.fromkeys(("threads", "seed", "layer", "step", "size", "epoch"), "integer"),
    **dict.fromkeys(("batch_size", "epochs", "shards"), "integer"),
    **dict.fromkeys(("activation", "precision", "reduction", "name", "optimizer"), "name"),
    **dict.fromkeys(("dtype", "loss"), "name"),
    **dict.fromkeys(("epsilon", "clip_value", "grad_scale", "probability"), "number"),
    **dict.fromkeys(("learning_rate", "momentum", "weight_decay", "rho", "beta1"), "number"),
    **dict.fromkeys(("beta2", "momentum_decay", "initial_accumulator", "delta"), "number"),
    **dict.fromkeys(("label_smoothing", "negative_slope", "alpha", "l1", "l2"), "number"),
    **dict.fromkeys(("levels", "class_weight"), "sequence"),
    "shape": "shape",
    "states": "states",
}


def valid(name):
    """Return arguments that the kernel of this name takes, by their names."""
    matrix, column = np.arange(12.0).reshape(4, 3), np.ones(3)
    values = {
        "x": matrix,
        "w": np.ones((3, 2)),
        "b": np.ones(2),
        "scale": column,
        "shift": column,
        "grad_preactivation": np.ones((4, 2)),
        "grad_output": matrix,
        "saved": matrix + 1,
        "normalized": matrix,
        "running_mean": column,
        "running_variance": column,
        "inverse_deviation": np.ones(4 if name.startswith("layer") else 3),
        "outputs": np.ones((4, 2)),
        "targets": np.ones((4, 2)),
        "sample_weight": np.ones(4),
        "parameters": np.ones(3),
        "gradient": np.full(3, 0.5),
        "step": 1,
        "seed": 1,
        "size": 3,
        "probability": 0.5,
        "name": "zeros",
        "shape": (2, 3),
        "optimizer": "adam",
    }
    if name == "cross_entropy":
        values["targets"] = np.array([0, 1, 0, 1])
    if name == "gaussian_nll":
        values["targets"] = np.ones(4)
    if name.endswith("_step"):
        optimizer = name.removesuffix("_step")
        values["states"] = cr.kernels.optimizer_states(optimizer, values["parameters"])
    return values
