"""Whatever an argument is given that it does not take, the error names it."""

import inspect
import re

import numpy as np
import pytest
from wrong_arguments import KINDS, OF_KIND, valid

import chainrule as cr
from chainrule import _core

KERNELS = {
    name: getattr(cr.kernels, name)
    for name in cr.kernels.__all__
    if not inspect.isclass(getattr(cr.kernels, name))
}
# Functions made from one `def` check in one way: these stand for all.
ALIKE = [
    {f"{name}_{way}" for name, info in _core.activations().items() if not info["parameter"]}
    for way in ("forward", "backward")
] + [set(_core.math_functions())]
REPRESENTATIVES = [
    name for name in KERNELS if all(name not in group or name == min(group) for group in ALIKE)
]
# Values that some functions take: a mask has any shape, two classes have two weights, and a batch
# has all rows when it could have more.
TAKEN = {
    ("dropout_mask", "shape", "empty"),
    ("dropout_mask", "shape", "int"),
    ("cross_entropy", "class_weight", "array"),
    ("fit", "batch_size", "beyond_64_bits"),
}


def refusals(call, arguments, argument, default):
    """Yield for each wrong value what is wrong about the way in which the call refuses it."""
    for what, make in OF_KIND[KINDS[argument]].items():
        if (what == "none" and default is None) or (call.__name__, argument, what) in TAKEN:
            continue
        value = make()
        try:
            call(**{**arguments, argument: value})
        except (TypeError, ValueError) as error:
            if not re.search(rf"\b{argument}\b", str(error)):
                yield f"{argument}={what}: {error!r} does not name it"
            if len(str(error)) > 1000:
                yield f"{argument}={what}: {len(str(error))} characters"
        except Exception as error:
            yield f"{argument}={what}: {error!r}"
        else:
            yield f"{argument}={what}: taken"


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_kernels_name_the_argument_that_is_wrong(name):
    function = KERNELS[name]
    parameters = inspect.signature(function).parameters
    needed = {n for n, p in parameters.items() if p.default is p.empty}
    arguments = {n: value for n, value in valid(name).items() if n in needed}
    function(**arguments)  # takes these
    wrong = []
    for argument, parameter in parameters.items():
        wrong += refusals(function, {**arguments}, argument, parameter.default)
    assert not wrong, "\n".join(wrong)


def _calls_of_models():
    model, trained = cr.MLP([3, 4, 2], dtype="float64"), cr.MLP([3, 4, 2], dtype="float64")
    trainer = cr.Trainer(trained, loss="mse")
    model.forward(np.ones((4, 3)))
    X, y = np.arange(12.0).reshape(4, 3), np.ones((4, 2))
    rows, losses = {"X": X}, {"X": X, "y": y, "loss": "mse"}
    return model, {
        "predict": (model.predict, rows),
        "forward": (model.forward, rows),
        "backward": (model.backward, {"grad_outputs": y}),
        "evaluate": (model.evaluate, losses),
        "loss_and_gradient": (model.loss_and_gradient, losses),
        "input_gradient": (model.input_gradient, losses),
        "fit": (model.fit, losses),
        "step": (trainer.step, {"X": X, "y": y}),
        "Trainer.fit": (trainer.fit, {"X": X, "y": y}),
    }


@pytest.mark.parametrize("name", _calls_of_models()[1])
def test_models_name_the_argument_that_is_wrong(name):
    model, calls = _calls_of_models()
    call, arguments = calls[name]
    before = model.parameters.copy()
    wrong = []
    for argument, parameter in inspect.signature(call).parameters.items():
        if argument in KINDS:
            wrong += refusals(call, {**arguments}, argument, parameter.default)
    assert not wrong, "\n".join(wrong)
    np.testing.assert_array_equal(model.parameters, before)
    call(**arguments)
