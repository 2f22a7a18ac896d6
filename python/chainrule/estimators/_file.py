"""The files of :meth:`MLPClassifier.save` and :meth:`MLPRegressor.save`.

A file holds the parameters of the constructor, the network, the optimizer's state and the fitted
attributes; what follows from these is made again. Everything is checked before there is an
estimator: its types, and that the parts fit each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from .. import _arguments
from .._errors import ModelFileError
from .._files import container
from .._files.history import pack_history, unpack_history
from .._files.model import pack_model, unpack_model, unpack_settings
from .._files.recipe import to_fields
from .._files.trainer import FIELDS, MOST, pack_trainer, unpack_trainer
from .._links import LINKS
from .._training import Trainer
from ._sharing import refuse_in_training, snapshot
from ._state import attach, take_in
from ._values import pack_array, pack_value, unpack_array, unpack_value

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._history import History
    from .._mlp import MLP

    Tensors = dict[str, npt.NDArray[Any]]

_CLASSES = {"classifier": "MLPClassifier", "regressor": "MLPRegressor"}
_KEYS = ("parameters", "attributes", "network", "training", "history")
_NETWORK = "network."
_TRAINING = "training."

# Attributes that are made again of the network and the optimizer's state.
_MADE_AGAIN = {
    *("model_", "coefs_", "intercepts_", "_views", "_trainer", "history_"),
    *("n_features_in_", "n_layers_", "n_outputs_"),
}
_OUT_ACTIVATIONS = {
    kind: tuple(
        dict.fromkeys(
            link.out_activation
            for link in LINKS.values()
            if link.is_of_classes == (kind == "classifier")
        )
    )
    for kind in _CLASSES
}


def save(estimator: Any, path: object) -> None:
    """Write an estimator's file; see the method."""
    _arguments.path(path)
    refuse_in_training(estimator, "save")
    whole = snapshot(estimator)
    check_is_fitted(whole, "model_")
    # What an estimator refuses to be fitted with, `load` would refuse as well.
    whole._validate_params()
    model = whole.model_
    with model._lock.hold("save"):
        take_in(whole)
        container.write(path, _kind(whole), *_packed(whole, model))


def load(cls: type[Any], path: object) -> Any:
    """Read an estimator's file; see the method."""
    name = _arguments.path(path)
    contents = container.read(path, _CLASSES)
    wanted = _CLASSES["classifier" if is_classifier(cls()) else "regressor"]
    found = _CLASSES[contents.kind]
    if found != wanted:
        raise ModelFileError(name, f"must hold an {wanted}, got an {found}: use {found}.load")
    with container.reading(name):
        return unpack(cls, contents)


def _kind(estimator: Any) -> str:
    return "classifier" if is_classifier(estimator) else "regressor"


# --- writing -------------------------------------------------------------------------------------


def _packed(estimator: Any, model: MLP) -> tuple[dict[str, Any], Tensors]:
    tensors: Tensors = {}
    parameters = estimator.get_params(deep=False)
    callbacks, random_state = parameters.pop("callbacks"), parameters["random_state"]
    if callbacks:
        raise TypeError(
            "callbacks must be None or empty to be saved, for they are code, "
            f"got {callbacks!r}; set_params(callbacks=None) takes them away"
        )
    if isinstance(random_state, np.random.RandomState):
        raise TypeError(
            "random_state must be an integer or None to be saved, got a RandomState; "
            "set_params(random_state=0) replaces it"
        )
    metadata: dict[str, Any] = {
        "parameters": {
            **{
                name: pack_value(value, f"parameters.{name}", tensors)
                for name, value in parameters.items()
            },
            "callbacks": pack_value(callbacks, "callbacks", tensors),
        }
    }
    present = {
        name: value
        for name, value in vars(estimator).items()
        if name not in _MADE_AGAIN and name not in metadata["parameters"]
    }
    writers = _attributes(_kind(estimator))
    unknown = sorted(present.keys() - writers.keys())
    if unknown:
        raise TypeError(
            f"the estimator must have no attributes but its own to be saved, got {unknown}"
        )
    metadata["attributes"] = {
        name: write(present[name], f"attributes.{name}", tensors)
        for name, (write, _, _) in writers.items()
        if name in present
    }
    metadata["network"], arrays = pack_model(model, _NETWORK)
    tensors |= arrays
    metadata["training"], trainer = None, estimator._trainer
    if trainer is not None:
        fields, arrays = pack_trainer(trainer)
        settings = vars(trainer._settings).items()
        metadata["training"] = {
            "settings": {name: to_fields(value) for name, value in settings},
            "has_history_of_network": trainer.history is model.history,
            **fields,
        }
        tensors |= {_TRAINING + name: array for name, array in arrays.items()}
    # There is one history, unless somebody went on with the network alone, or a fit diverged.
    history = getattr(estimator, "history_", None)
    metadata["history"] = None if history is None else "network"
    if history is not None and history is not model.history:
        metadata["history"], arrays = pack_history(history)
        tensors |= arrays
    return metadata, tensors


# --- reading -------------------------------------------------------------------------------------


def unpack(cls: type[Any], contents: container.Contents) -> Any:
    """Make an estimator of what a file of its class holds; see :func:`container.reading`."""
    fields = container.require_keys(contents.metadata, _KEYS, "the estimator")
    tensors = contents.tensors
    names = cls._get_param_names()
    parameters = container.require_keys(
        fields["parameters"], names, "parameters", precision=None, shards=None, standardize=False
    )
    estimator = cls(
        **{
            name: unpack_value(value, f"parameters.{name}", tensors)
            for name, value in parameters.items()
        }
    )
    if estimator.callbacks:
        raise ValueError(f"callbacks must be None or empty, got {estimator.callbacks!r}")
    estimator._validate_params()
    attributes = _unpack_attributes(contents.kind, fields["attributes"], tensors)
    of_network = _taken(tensors, _NETWORK)
    of_training = _taken(tensors, _TRAINING)
    model = unpack_model(fields["network"], of_network)
    history = None
    if fields["history"] == "network":
        if model.history is None:
            raise ValueError("history must be that of the network, which has none")
        history = model.history
    elif fields["history"] is not None:
        history = unpack_history(fields["history"], tensors)
    trainer = None
    if fields["training"] is not None:
        trainer = _unpack_training(model, history, fields["training"], of_training)
    others = [*tensors, *of_training]
    if others:
        raise ValueError(f"the estimator must have no other tensors, got {others}")
    _require_fit(contents.kind, attributes, model, trainer)
    vars(estimator).update(attributes)
    estimator.n_features_in_ = model.in_features
    estimator.n_outputs_ = model.out_features
    estimator.n_layers_ = len(model.layers) + 1
    attach(estimator, model)
    estimator._trainer = trainer
    if history is not None:
        estimator.history_ = history
    return estimator


def _taken(tensors: Tensors, prefix: str) -> Tensors:
    """Move the tensors whose names begin with a prefix into a dictionary without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name[len(prefix) :]: tensors.pop(name) for name in names}


def _unpack_training(model: MLP, history: History | None, value: Any, tensors: Tensors) -> Trainer:
    keys = ("settings", "has_history_of_network", *FIELDS)
    fields = container.require_keys(_of_version_2(value), keys, "training", progress=None)
    trainer = Trainer(model, **vars(unpack_settings(model, fields["settings"], "settings")))
    unpack_trainer(fields, tensors, trainer).restore(trainer)
    of_network = _arguments.boolean(fields["has_history_of_network"], "has_history_of_network")
    known = model.history if of_network else history
    if known is not None:
        trainer._state.history = known
    return trainer


def _of_version_2(training: Any) -> Any:
    """Return the fields of a training of version 1, where they are such, as version 2 has them."""
    if not isinstance(training, dict) or not isinstance(training.get("settings"), dict):
        return training
    fields = dict(training)
    if "divides_penalty" in fields:
        divides = {"divide_penalties": fields.pop("divides_penalty")}
        fields["settings"] = fields["settings"] | divides
    return fields


def _unpack_attributes(kind: str, value: Any, tensors: Tensors) -> dict[str, Any]:
    readers = _attributes(kind)
    always = {name for name, (_, _, is_optional) in readers.items() if not is_optional}
    if not isinstance(value, dict) or not always <= value.keys() <= readers.keys():
        raise ValueError(f"attributes must have {sorted(always)} and some of {[*readers]}")
    return {
        name: readers[name][1](field, f"attributes.{name}", tensors)
        for name, field in value.items()
    }


def _require_fit(
    kind: str, attributes: dict[str, Any], model: MLP, trainer: Trainer | None
) -> None:
    """Raise unless attributes, network and loss fit each other as a fit leaves them."""
    names = attributes.get("feature_names_in_")
    if names is not None and len(names) != model.in_features:
        raise ValueError(
            f"feature_names_in_ must hold {model.in_features} names, as the network has inputs, "
            f"got {len(names)}"
        )
    activation = _arguments.one_of(
        attributes["out_activation_"], _OUT_ACTIVATIONS[kind], "out_activation_"
    )
    loss = None if trainer is None else trainer.loss
    if kind == "regressor":
        n_outputs = attributes["_n_targets"]
        n_outputs *= 1 if loss is None else loss.link.outputs_per_target
    else:
        classes, is_multilabel = attributes["classes_"], attributes["_is_multilabel"]
        n_classes = len(classes)
        is_softmax = activation == "softmax"
        n_outputs = n_classes if is_softmax or is_multilabel or n_classes > 2 else 1
        if is_softmax and (is_multilabel or n_classes < 2):
            raise ValueError("out_activation_ must be 'logistic' for one class and for multilabel")
        if is_multilabel and not np.array_equal(classes, np.arange(n_classes)):
            raise ValueError(f"classes_ must be the numbers of the labels, got {classes}")
    if loss is not None and loss.link.out_activation != activation:
        raise ValueError(f"out_activation_ must be that of the loss {loss}, got {activation!r}")
    # (Without a trainer, a regressor's loss is not known.)
    if n_outputs != model.out_features and not (kind == "regressor" and loss is None):
        raise ValueError(
            f"the network must have {n_outputs} outputs, as classes or targets say, "
            f"got {model.out_features}"
        )


# --- attributes ----------------------------------------------------------------------------------

# Each writer and reader takes the value or field, its name for messages, and the tensors.
_Codec = tuple[Callable[..., Any], Callable[..., Any], bool]


def _attributes(kind: str) -> dict[str, _Codec]:
    """Return how to write and to read each attribute, and whether it may be missing."""
    count: _Codec = (_count, _count, True)
    number: _Codec = (_pack_float, _unpack_float, True)
    numbers: _Codec = (_pack_floats, _unpack_floats, True)
    flag: _Codec = (_flag, _flag, False)
    codecs: dict[str, _Codec] = {
        "feature_names_in_": (pack_array, _unpack_names, True),
        "out_activation_": (_text, _text, False),
        "n_iter_": count,
        "t_": count,
        "_no_improvement_count": count,
        "loss_": number,
        "best_loss_": number,
        "best_validation_score_": number,
        "loss_curve_": numbers,
        "validation_scores_": numbers,
        "evals_result_": (_pack_results, _unpack_results, True),
    }
    if kind == "regressor":
        return {**codecs, "_n_targets": (_positive, _positive, False)}
    return {
        **codecs,
        "classes_": (pack_array, _unpack_classes, False),
        "_is_multilabel": flag,
        "_sparse_targets": flag,
    }


def _count(value: Any, what: str, tensors: Tensors) -> int:
    return _arguments.integer(value, what, 0, MOST)


def _positive(value: Any, what: str, tensors: Tensors) -> int:
    return _arguments.integer(value, what, 1, MOST)


def _flag(value: Any, what: str, tensors: Tensors) -> bool:
    return _arguments.boolean(value, what)


def _text(value: Any, what: str, tensors: Tensors) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a text, got {value!r}")
    return value


def _pack_float(value: Any, what: str, tensors: Tensors) -> bool:
    """Put a number, which need not be finite, into an array; return whether it is none."""
    if value is not None:
        tensors[what] = np.array(_real(value, what))
    return value is None


def _unpack_float(is_none: Any, what: str, tensors: Tensors) -> float | None:
    if _arguments.boolean(is_none, what):
        return None
    array = container.require_tensor(tensors, what, np.float64, ())
    del tensors[what]
    return float(array)


def _pack_floats(value: Any, what: str, tensors: Tensors) -> int | None:
    """Put a list of numbers into an array; return how many there are, None for none at all."""
    if value is None:
        return None
    tensors[what] = np.array([_real(item, what) for item in value], np.float64)
    return len(value)


def _unpack_floats(length: Any, what: str, tensors: Tensors) -> list[float] | None:
    if length is None:
        return None
    return _unpack_list(length, what, tensors)


def _unpack_list(length: Any, what: str, tensors: Tensors) -> list[float]:
    n = _arguments.integer(length, what, 0)
    values: list[float] = container.require_tensor(tensors, what, np.float64, (n,)).tolist()
    del tensors[what]
    return values


def _real(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
        raise TypeError(f"{what} must hold numbers, got {value!r}")
    return float(value)


def _pack_results(value: Any, what: str, tensors: Tensors) -> Any:
    return [
        [_pack_floats(record[part], f"{what}.{i}.{part}", tensors) for part in ("loss", "score")]
        for i, record in enumerate(value.values())
    ]


def _unpack_results(value: Any, what: str, tensors: Tensors) -> Any:
    if not isinstance(value, list) or not all(isinstance(x, list) and len(x) == 2 for x in value):
        raise TypeError(f"{what} must be a list of pairs, got {value!r}")
    return {
        f"validation_{i}": {
            part: _unpack_list(length, f"{what}.{i}.{part}", tensors)
            for part, length in zip(("loss", "score"), lengths, strict=True)
        }
        for i, lengths in enumerate(value)
    }


def _unpack_names(value: Any, what: str, tensors: Tensors) -> Any:
    names = unpack_array(value, what, tensors)
    if names.dtype != object:
        raise TypeError(f"{what} must be an array of objects, got {names.dtype}")
    return names


def _unpack_classes(value: Any, what: str, tensors: Tensors) -> Any:
    classes = unpack_array(value, what, tensors)
    if classes.ndim != 1 or len(classes) == 0 or not np.array_equal(classes, np.unique(classes)):
        raise ValueError(f"{what} must be sorted and distinct, got {classes!r}")
    return classes
