"""The parts of a network: its input, activations and dense layers, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from . import _arguments, _core

Norm: TypeAlias = Literal["layer", "batch"] | None

# He's variance suits activations that pass about half of their inputs; selu was derived for
# LeCun's; all others take Glorot's.
_HE = ("relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "mish", "elu", "softplus")
_DEFAULT_INITIALIZERS = {**dict.fromkeys(_HE, "he_uniform"), "selu": "lecun_normal"}


@dataclass(frozen=True, init=False, repr=False)
class Activation:
    """An activation and its parameter.

    Parameters
    ----------
    name : str
        ``identity``, ``relu``, ``leaky_relu``, ``elu``, ``selu``, ``gelu``, ``gelu_tanh``,
        ``silu``, ``mish``, ``sigmoid``, ``tanh`` or ``softplus``.
    **parameter : float
        ``negative_slope`` of ``leaky_relu`` (default 0.01), ``alpha`` of ``elu`` (default 1.0);
        at least 0.

    Attributes
    ----------
    name : str
        As given.
    parameter : float
        The value of the parameter; 0.0 for an activation without one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.Activation("leaky_relu", negative_slope=0.2)
    Activation('leaky_relu', negative_slope=0.2)
    """

    name: str
    parameter: float

    def __init__(self, name: str, **parameter: float) -> None:
        known = _core.activations()
        _arguments.one_of(name, known, "activation")
        field = known[name]["parameter"]
        value = known[name]["default"]
        for given in parameter:
            if given != field:
                has = "no parameter" if field is None else f"the parameter {field!r}"
                raise TypeError(f"activation {name!r} has {has}, got {given!r}")
            value = _arguments.number(parameter[given], given, minimum=0.0)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameter", value)

    def __repr__(self) -> str:
        field = _core.activations()[self.name]["parameter"]
        return f"Activation({self.name!r}" + (f", {field}={self.parameter!r})" if field else ")")


def as_activation(value: str | Activation, argument: str = "activation") -> Activation:
    """Turn a name into an activation with its default parameter."""
    if isinstance(value, Activation):
        return value
    return Activation(_arguments.one_of(value, _core.activations(), argument))


@dataclass(frozen=True, repr=False)
class Dense:
    """A layer: x W + b, then optional normalization, activation and dropout.

    Parameters
    ----------
    out_features : int
        Units of the layer, at least 1.
    activation : str or Activation, default "identity"
        See :class:`Activation` for the names.
    dropout : float, default 0.0
        Probability in [0, 1) with which an output is set to zero in training; the others are
        divided by 1 - dropout.
    norm : {"layer", "batch"}, optional
        Normalize before the activation: each row over the units (Ba, Kiros and Hinton 2016), or
        each unit over the batch (Ioffe and Szegedy 2015), with a learned scale and shift.
    bias : bool, default True
        Whether to add a bias.
    initializer : str, optional
        ``glorot_uniform``, ``glorot_normal``, ``he_uniform``, ``he_normal``, ``lecun_uniform``,
        ``lecun_normal``, ``orthogonal``, ``torch_linear`` or ``zeros``. The default depends on the
        activation: ``lecun_normal`` for selu; ``he_uniform`` for relu, leaky_relu, elu, gelu,
        gelu_tanh, silu, mish and softplus; ``glorot_uniform`` for the others.

    Examples
    --------
    >>> import chainrule as cr
    >>> model = cr.MLP([32, cr.Dense(128, activation="gelu", dropout=0.2, norm="layer"), 1])
    >>> model.layers[0].initializer
    'he_uniform'
    """

    out_features: int
    activation: str | Activation = "identity"
    dropout: float = 0.0
    norm: Norm = None
    bias: bool = True
    initializer: str | None = None

    def __post_init__(self) -> None:
        values = {
            "out_features": _arguments.integer(self.out_features, "out_features", 1),
            "activation": as_activation(self.activation),
            "dropout": _arguments.number(self.dropout, "dropout", minimum=0.0, below=1.0),
            "bias": _arguments.boolean(self.bias, "bias"),
        }
        if self.norm is not None:
            _arguments.one_of(self.norm, ("layer", "batch"), "norm")
        if self.initializer is not None:
            _arguments.one_of(self.initializer, _core.initializers(), "initializer")
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return self._in_words(self.initializer)

    def _in_words(self, initializer: str | None = None) -> str:
        """Return the code that makes the layer; by default without its usual initializer."""
        activation = as_activation(self.activation)
        plain = as_activation(activation.name) == activation
        initializer = initializer or (
            None if replace(self, initializer=None).resolved() == self else self.initializer
        )
        options = {
            "activation": repr(activation.name if plain else activation),
            "dropout": repr(self.dropout),
            "norm": repr(self.norm),
            "bias": repr(self.bias),
            "initializer": repr(initializer),
        }
        usual = ("'identity'", "0.0", "None", "True", "None")
        shown = [
            f"{name}={text}"
            for (name, text), default in zip(options.items(), usual, strict=True)
            if text != default
        ]
        return f"Dense({', '.join([str(self.out_features), *shown])})"

    def resolved(self) -> Dense:
        """Return this layer with its initializer chosen."""
        if self.initializer is not None:
            return self
        name = as_activation(self.activation).name
        return replace(self, initializer=_DEFAULT_INITIALIZERS.get(name, "glorot_uniform"))

    def spec(self, standardizes: bool = False) -> _core.LayerSpec:
        """Return the compiled module's specification; the layer must be resolved."""
        activation = as_activation(self.activation)
        assert self.initializer is not None
        return _core.LayerSpec(
            self.out_features,
            activation.name,
            activation.parameter,
            self.dropout,
            self.norm or "none",
            self.bias,
            self.initializer,
            standardizes,
        )

    def n_parameters(self, in_features: int) -> int:
        """Return the number of parameters of the layer after `in_features` inputs."""
        vectors = int(self.bias) + 2 * (self.norm is not None)
        return self.out_features * (in_features + vectors)


@dataclass(frozen=True)
class Standardize:
    """Standardize the inputs: z = (x - mean) * (1 / deviation), column by column.

    Stands right behind the number of inputs. The first fit of the model takes mean and standard
    deviation (with the number of rows as the divisor) of each column over the rows that it trains
    on, as :meth:`MLP.standardize` does; they are no parameters, and later fits keep them. A column
    of one value is shifted alone.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> X = np.random.default_rng(0).normal(1000.0, 200.0, size=(100, 1))
    >>> model = cr.MLP([1, cr.Standardize(), 16, 1])
    >>> history = model.fit(X, X / 1000.0, loss="mse", optimizer=cr.Adam(1e-2), epochs=100)
    >>> history.loss[-1] < 1e-3
    True
    >>> mean, factor = model.input_statistics
    >>> bool(abs(mean[0] - X.mean()) < 1e-3)
    True
    """


def resolve(
    layers: Sequence[int | Standardize | Dense],
    *,
    activation: str | Activation,
    output_activation: str | Activation,
    dropout: float,
    norm: Norm,
    initializer: str | None,
) -> tuple[int, Standardize | None, tuple[Dense, ...]]:
    """Check the arguments of :class:`MLP`; return inputs, input layer and resolved layers."""
    if isinstance(layers, str) or not hasattr(layers, "__iter__"):
        raise TypeError(
            "layers must be a sequence of sizes and Dense layers, "
            f"got {_arguments.type_name(layers)}"
        )
    items = list(layers)
    input_layer = items[1] if len(items) > 1 and isinstance(items[1], Standardize) else None
    if input_layer is not None:
        del items[1]
    if len(items) < 2:
        raise ValueError(
            "layers must hold the number of inputs and at least one layer, "
            f"got {len(items)} item{'' if len(items) == 1 else 's'}"
            + (" besides Standardize()" if input_layer else "")
        )
    in_features = _arguments.integer(items[0], "layers[0]", 1)
    hidden = Dense(1, as_activation(activation), dropout, norm, True, initializer)
    output = Dense(
        1, as_activation(output_activation, "output_activation"), initializer=initializer
    )
    dense = []
    for i, item in enumerate(items[1:], start=1):
        if isinstance(item, Standardize):
            raise ValueError(
                "Standardize() must stand directly behind the number of inputs, as layers[1], "
                f"got it as layers[{i + (input_layer is not None)}]"
            )
        if not isinstance(item, Dense):
            size = _arguments.integer(item, f"layers[{i + (input_layer is not None)}]", 1)
            item = replace(output if i == len(items) - 1 else hidden, out_features=size)
        dense.append(item.resolved())
    return in_features, input_layer, tuple(dense)
