"""Models from PyTorch's state dictionaries, without PyTorch: golden/ has values that it made."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bounds import same_bits
from exchange_cases import assert_within, bound_of_predict

import chainrule as cr
from chainrule import _core
from chainrule._errors import not_installed
from chainrule.exchange._sequential import sequential

ENTRIES = dict(np.load(Path(__file__).parents[2] / "golden" / "state_dicts.npz"))


def case(name):
    prefix = f"{name}/state/"
    state = {k.removeprefix(prefix): v for k, v in ENTRIES.items() if k.startswith(prefix)}
    config = json.loads(str(ENTRIES[f"{name}/config"]))
    return state, config, ENTRIES[f"{name}/x"], ENTRIES[f"{name}/y"]


def activation_of(config):
    return cr.Activation(config["activation"], **config["parameters"])


@pytest.mark.parametrize("name", _core.activations())
def test_outputs_are_those_of_pytorch(name, dtype):
    state, config, x, want = case(name)
    state = {key: v.astype(dtype) if v.dtype.kind == "f" else v for key, v in state.items()}
    model = cr.exchange.from_state_dict(state, activation=activation_of(config))
    assert model.dtype == dtype
    assert model.layers[0].norm == config["norm"]
    assert same_bits(np.ascontiguousarray(model.weights[0].T), state["0.weight"])
    bound = bound_of_predict(model, x)
    assert_within(model.predict(x.astype(dtype)), bound, "chainrule")
    if dtype == "float64":
        assert_within(want, bound, "PyTorch")
    else:
        # PyTorch's outputs are doubles.
        assert (np.abs(want - bound.value) <= bound.error * 1e-6).all()


def test_every_kind_of_module_has_values():
    configs = [case(name)[1] for name in _core.activations()]
    norms = [config["norm"] for config in configs]
    assert {norm: norms.count(norm) for norm in norms} == {None: 4, "layer": 4, "batch": 4}
    assert any("0.bias" not in case(name)[0] for name in _core.activations())
    assert str(ENTRIES["torch"]).startswith("2.13.0")


def test_one_activation_for_each_layer():
    sizes = [3, 4, 5, 2]
    state = {f"fc{i}.weight": np.ones((sizes[i + 1], sizes[i]), "float32") for i in range(3)}
    activations = ["tanh", cr.Activation("elu", alpha=2.0)]
    model = cr.exchange.from_state_dict(state, activation=activations, output_activation="sigmoid")
    names = [layer.activation for layer in model.layers]
    assert names == [
        cr.Activation("tanh"),
        cr.Activation("elu", alpha=2.0),
        cr.Activation("sigmoid"),
    ]
    assert model.biases == (None, None, None)


def state_of(**changes):
    state = {
        "0.weight": np.ones((4, 3)),
        "0.bias": np.ones(4),
        "1.weight": np.ones(4),
        "1.bias": np.ones(4),
        "3.weight": np.ones((2, 4)),
    }
    for key, value in changes.items():
        key = key.replace("__", ".").removeprefix("_")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "state_dict must hold a Linear at least, got nothing"),
        (
            {"0.in_proj_weight": np.ones((2, 2))},
            "Linear, LayerNorm and BatchNorm1d alone, got '0.in",
        ),
        ({"0.bias": np.ones(2)}, r"state_dict\['0'\] must have a weight, got bias"),
        ({"0.weight": np.ones(2)}, r"state_dict\['0'\] must be a Linear with a weight of two"),
        ({"0.weight": np.ones((2, 2, 3, 3))}, r"state_dict\['0'\] must be a Linear with"),
        (
            state_of(_0__bias=np.ones(3)),
            r"state_dict\['0'\]\.bias must be .*\(4,\), got shape \(3,",
        ),
        (state_of(_1__weight=np.ones(3)), r"state_dict\['1'\]\.weight must be .*\(4,\), got shape"),
        (state_of(_1__bias=None), r"state_dict\['1'\] must have weight and bias, got no bias"),
        (
            state_of(_1__running_mean=np.ones(4)),
            r"state_dict\['1'\] must have .* running_var, got no running_var",
        ),
        (state_of(_3__weight=np.ones((2, 5))), r"\['3'\] must be a Linear of 4 inputs.* got 5"),
        (state_of(_0__weight=np.ones((4, 3), int)), r"\['0'\]\.weight must be .*dtype int64"),
        (
            {**state_of(), "4.weight": np.ones(2), "5.weight": np.ones(2)},
            r"\['4'\] must have weight",
        ),
    ],
)
def test_what_does_not_map_is_refused_by_name(state, message):
    with pytest.raises(ValueError, match=message):
        cr.exchange.from_state_dict(state)


def test_wrong_arguments():
    with pytest.raises(
        TypeError, match="state_dict must be a mapping of names to tensors, got list"
    ):
        cr.exchange.from_state_dict([])
    with pytest.raises(ValueError, match="one for each of 1 hidden layers, got 2"):
        cr.exchange.from_state_dict(state_of(), activation=["relu", "relu"])
    with pytest.raises(TypeError, match="activation must be a name, an Activation, or a sequence"):
        cr.exchange.from_state_dict(state_of(), activation=3)
    with pytest.raises(ValueError, match=r"activation\[0\] must be one of"):
        cr.exchange.from_state_dict(state_of(), activation=["swish"])


def test_pytorch_is_not_installed():
    # In another process: a module that is being taken away leaves traces.
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import chainrule as cr\n"
        "model = cr.MLP([2, 1])\n"
        "calls = (cr.exchange.to_torch, cr.exchange.to_state_dict, cr.exchange.from_torch)\n"
        "for call in calls:\n"
        "    try:\n"
        "        call(model)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [not_installed("this", "torch")] * 3


@pytest.mark.parametrize("stem", ["", "net.", "module.net.0."])
def test_numbers_in_names_say_the_order(stem):
    # Files sort by name: "10" comes before "2".
    rng = np.random.default_rng(0)
    state = {f"{stem}{2 * i}.weight": rng.normal(size=(3, 3)).astype("f") for i in range(12)}
    model = cr.exchange.from_state_dict(dict(sorted(state.items())))
    for view, weight in zip(model.weights, state.values(), strict=True):
        assert same_bits(np.ascontiguousarray(view.T), weight)


def test_the_order_of_nested_modules():
    square = np.eye(2)
    nested = {"10.weight": 3 * square, "2.0.weight": square, "2.1.weight": 2 * square}
    model = cr.exchange.from_state_dict(nested)
    assert [weight[0, 0] for weight in model.weights] == [1, 2, 3]


def test_values_that_are_no_arrays():
    model = cr.exchange.from_state_dict({"0.weight": [[1.0, 2.0]], "0.bias": [3.0]})
    assert model.predict([[1.0, 1.0]]) == 6.0
    for value in (None, "abc", 1.0):
        with pytest.raises(ValueError, match=r"state_dict\['0'\] must be a Linear with a weight"):
            cr.exchange.from_state_dict({"0.weight": value})


@pytest.mark.parametrize("bias", [True, False])
def test_standardized_inputs_are_in_the_first_linear(bias, dtype, rng):
    layers = [4, cr.Standardize(), cr.Dense(9, "tanh", bias=bias), 2]
    model = cr.MLP(layers, dtype=dtype, seed=1)
    X = rng.normal(size=(300, 4)) * [1e-6, 1.0, 1e6, 0.0] + [1e-5, -5.0, 1e6, 3.0]
    model.standardize(X)
    _, state = sequential(model)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    again = cr.exchange.from_state_dict(state, activation="tanh")
    assert again.dtype == model.dtype
    # Means are at most ten deviations: so much larger are the terms that cancel.
    mean, factor = model.input_statistics
    terms = (np.abs(X) + np.abs(mean)) * factor
    size = (terms @ np.abs(model.weights[0])).max() * np.abs(model.weights[1]).sum(axis=0).max()
    error = 20 * np.finfo(dtype).eps * size
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=0, atol=error)
    # Tight enough to tell a missing mean or factor.
    assert error < 1e-3 * np.abs(model.predict(X)).max()
