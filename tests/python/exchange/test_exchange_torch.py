"""Models from and to PyTorch's modules, in a process with PyTorch: pytest -m torch.

What needs no PyTorch is in test_exchange_state_dict.py, with values that PyTorch made.
"""

import copy

import numpy as np
import pytest
from bounds import same_bits
from exchange_cases import ACTIVATIONS, NORMS, bound_of_predict, network, set_numbers
from exchange_training import assert_equal_within, bounds_of_step

import chainrule as cr

pytestmark = pytest.mark.torch
# What torch.compile imports of PyTorch itself.
own_warnings = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="module")
def nn(torch):
    return torch.nn


def assert_same_model(a, b):
    assert (a.in_features, a.dtype) == (b.in_features, b.dtype)
    for ours, theirs in zip(a.layers, b.layers, strict=True):
        for field in ("out_features", "activation", "dropout", "norm", "bias"):
            assert getattr(ours, field) == getattr(theirs, field)
    assert same_bits(a.parameters, b.parameters)
    assert same_bits(a.running_statistics, b.running_statistics)


def flat_parameters(nn, module):
    """Return a Sequential's parameters in the order and layout of chainrule's."""
    return np.concatenate([
        value.detach().numpy().T.ravel()
        for part in module
        for value in (getattr(part, "weight", None), getattr(part, "bias", None))
        if value is not None
    ])  # fmt: skip


def running_statistics(module):
    parts = [part for part in module if hasattr(part, "running_mean")]
    values = [v.numpy() for part in parts for v in (part.running_mean, part.running_var)]
    return np.concatenate(values) if values else np.empty(0)


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_and_a_training_step(activation, norm, dtype, rng, torch, nn):
    model = network(activation, norm, dtype, rng)
    module = cr.exchange.to_torch(model)
    back = cr.exchange.from_torch(module)
    assert_same_model(model, back)
    X = (2 * rng.normal(size=(40, 5))).astype(dtype)
    y = rng.normal(size=(40, 3)).astype(dtype)

    module.eval()
    with torch.no_grad():
        theirs = module(torch.from_numpy(X)).numpy()
    bound = bound_of_predict(model, X)
    assert_equal_within(model.predict(X).ravel(), theirs.ravel(), [bound], "outputs")

    module.train()
    parameters, running = bounds_of_step(model, X, y, 0.05)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(y)).backward()
    optimizer.step()
    before = back.parameters.copy()
    trainer = cr.Trainer(back, loss="mse", optimizer=cr.SGD(0.05))
    trainer.step(X, y)
    assert not same_bits(back.parameters, before)
    assert_equal_within(back.parameters, flat_parameters(nn, module), parameters, "parameters")
    if norm == "batch":
        theirs = running_statistics(module)
        assert_equal_within(back.running_statistics, theirs, running, "running statistics")
    # The trained module comes back bit for bit.
    trained = cr.exchange.from_torch(module)
    assert same_bits(trained.parameters, flat_parameters(nn, module))


def test_every_setting_there_and_back(dtype, rng):
    layers = [
        cr.Dense(4, cr.Activation("leaky_relu", negative_slope=0.2), dropout=0.25, norm="batch"),
        cr.Dense(6, cr.Activation("elu", alpha=0.5), bias=False, norm="layer"),
        cr.Dense(5, "softplus", dropout=0.5),
        cr.Dense(2, bias=False),
        cr.Dense(3, "sigmoid"),
    ]
    model = set_numbers(cr.MLP([3, *layers], dtype=dtype), rng)
    assert_same_model(model, cr.exchange.from_torch(cr.exchange.to_torch(model)))


def test_the_modules_are_the_plain_ones(nn):
    model = cr.MLP([3, cr.Dense(4, "gelu_tanh", norm="batch", dropout=0.5), cr.Dense(2)])
    module = cr.exchange.to_torch(model)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Dropout, nn.Linear]
    assert [type(part) for part in module] == kinds
    assert module.training
    assert module[0].weight.shape == (4, 3)
    assert module[0].weight.requires_grad
    np.testing.assert_array_equal(module[0].weight.detach().numpy(), model.weights[0].T)


def test_standardized_inputs_are_in_the_first_linear(torch, rng):
    model = cr.MLP([3, cr.Standardize(), cr.Dense(5, "tanh", bias=False), 2], dtype="float64")
    X = rng.normal(size=(50, 3)) * [1.0, 1e3, 1e-3] + [0.0, -1e3, 1e-3]
    model.standardize(X)
    module = cr.exchange.to_torch(model)
    assert list(cr.exchange.to_state_dict(model)) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with torch.no_grad():
        theirs = module(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(theirs, model.predict(X), rtol=0, atol=1e-13)


def test_numbers_are_copies(torch, rng):
    model = network("relu", "batch", "float32", rng)
    module = cr.exchange.to_torch(model)
    before = flat_parameters(None, module).copy()
    model.parameters[:] = 0
    model.running_statistics[:] = 0
    np.testing.assert_array_equal(flat_parameters(None, module), before)
    assert running_statistics(module).any()
    back = cr.exchange.from_torch(module)
    with torch.no_grad():
        for value in module.parameters():
            value.zero_()
    np.testing.assert_array_equal(back.parameters, before)


# --- state dictionaries --------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_state_dictionaries(norm, dtype, rng, torch):
    model = network("tanh", norm, dtype, rng)
    module = cr.exchange.to_torch(model)
    state = cr.exchange.to_state_dict(model)
    assert list(state) == list(module.state_dict())
    fresh = cr.exchange.to_torch(network("tanh", norm, dtype, rng))
    fresh.load_state_dict(state)  # strict: all keys and shapes
    assert_same_model(cr.exchange.from_torch(fresh), model)
    assert_same_model(cr.exchange.from_state_dict(state, activation="tanh"), model)
    state["0.weight"].zero_()
    assert model.weights[0].any()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_short_floats_are_exact(kind, torch, nn):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).to(getattr(torch, kind))
    model = cr.exchange.from_torch(module)
    assert model.dtype == np.float32
    wide = module.float()
    assert same_bits(model.parameters, flat_parameters(nn, wide))


def test_a_safetensors_file_of_a_class(torch, nn, tmp_path):
    from safetensors.numpy import load_file
    from safetensors.torch import save_file

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(4, 8)
            self.norm1 = nn.BatchNorm1d(8)
            self.fc2 = nn.Linear(8, 2)

        def forward(self, x):
            return self.fc2(torch.tanh(self.norm1(self.fc1(x))))

    module = Net()
    module(torch.randn(32, 4))  # running statistics that are not the first ones
    module.eval()
    save_file(module.state_dict(), tmp_path / "net.safetensors")
    state = load_file(tmp_path / "net.safetensors")
    assert list(state) != list(module.state_dict())  # the file sorts its entries by name
    model = cr.exchange.from_state_dict(state, activation="tanh")
    X = torch.randn(20, 4)
    with torch.no_grad():
        theirs = module(X).numpy()
    bound = bound_of_predict(model, X.numpy())
    assert_equal_within(model.predict(X.numpy()).ravel(), theirs.ravel(), [bound], "outputs")


class ActorCritic:
    """The modules of stable-baselines3's ActorCriticPolicy, by its names."""

    def __new__(cls, nn, n_actions):
        def body():
            return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())

        policy = nn.Module()
        policy.log_std = nn.Parameter(nn.init.zeros_(nn.Linear(n_actions, 1).weight[0].detach()))
        policy.mlp_extractor = nn.Module()
        policy.mlp_extractor.policy_net = body()
        policy.mlp_extractor.value_net = body()
        policy.action_net = nn.Linear(8, n_actions)
        policy.value_net = nn.Linear(8, 1)
        return policy


@pytest.mark.parametrize("n_actions", [2, 8])
def test_an_actor_critic_policy(n_actions, torch, nn):
    policy = ActorCritic(nn, n_actions)
    X = torch.randn(20, 4)
    for state in (policy.state_dict(), dict(sorted(policy.state_dict().items()))):
        with pytest.raises(ValueError, match=r"'log_std'; prefix= or order= takes a part"):
            cr.exchange.from_state_dict(state)
        for net, head in (("policy_net", "action_net"), ("value_net", "value_net")):
            model = cr.exchange.from_state_dict(
                state, activation="tanh", order=[f"mlp_extractor.{net}", head]
            )
            with torch.no_grad():
                body = getattr(policy.mlp_extractor, net)(X)
                theirs = getattr(policy, head)(body).numpy()
            np.testing.assert_allclose(model.predict(X.numpy()), theirs, rtol=1e-4, atol=1e-6)


@own_warnings
def test_modules_that_are_compiled_or_parallel(torch, nn):
    plain = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    model = cr.exchange.from_torch(plain)
    inner = nn.Sequential(torch.compile(plain[:2]), torch.compile(plain[2:]))
    for module in (
        torch.compile(plain),
        nn.DataParallel(plain),
        torch.compile(nn.DataParallel(plain)),
        nn.DataParallel(torch.compile(plain)),
        inner,
    ):
        assert_same_model(cr.exchange.from_torch(module), model)
        state = module.state_dict()
        assert any(name.split(".")[0] in ("_orig_mod", "module") for name in state) or (
            module is inner
        )
        # Halves of inner: both have "0", of widths that fit in one order.
        for given in (state, dict(sorted(state.items()))):
            again = cr.exchange.from_state_dict(given, activation="tanh")
            assert_same_model(again, model)


@own_warnings
def test_the_order_that_pytorch_notes(torch, nn, tmp_path):
    """In its own dictionary, also through a file; a copy without the note is not certain."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.act = nn.Tanh()
            self.second = nn.Linear(4, 4)
            self.last = nn.Linear(4, 4)

        def forward(self, x):
            return self.last(self.act(self.second(self.act(self.first(x)))))

    module = Net()
    torch.save(module.state_dict(), tmp_path / "net.pt")
    X = torch.randn(20, 4)
    with torch.no_grad():
        theirs = module(X).numpy()
    compiled = torch.compile(module)
    for state in (
        module.state_dict(),
        torch.load(tmp_path / "net.pt"),
        compiled.state_dict(),
        torch.optim.swa_utils.AveragedModel(module).module.state_dict(),
    ):
        model = cr.exchange.from_state_dict(state, activation="tanh")
        np.testing.assert_allclose(model.predict(X.numpy()), theirs, rtol=1e-4, atol=1e-6)
        with pytest.raises(ValueError, match="more than one order"):
            cr.exchange.from_state_dict(dict(sorted(state.items())))


# --- structure -----------------------------------------------------------------------------------


def test_nested_and_passed_over(nn):
    plain = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    nested = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Identity(), plain[0]), nn.Sequential(plain[1], plain[2])
    )
    assert_same_model(cr.exchange.from_torch(plain), cr.exchange.from_torch(nested))
    single = cr.exchange.from_torch(plain[0])
    assert [layer.activation.name for layer in single.layers] == ["identity"]
    shared = nn.ReLU()
    twice = nn.Sequential(plain[0], shared, nn.Linear(4, 4), shared, plain[2])
    activations = [layer.activation.name for layer in cr.exchange.from_torch(twice).layers]
    assert activations == ["relu", "relu", "identity"]


def refused(nn):
    """Return what is refused: modules behind a Linear of 4 outputs, and the message."""
    relu = nn.ReLU()
    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda *_: None)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    same = nn.Linear(4, 4)

    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    class OwnReLU(nn.ReLU):
        pass

    order = "in this order"
    return {
        "relu6": ([nn.ReLU6()], r"module\[1\] must have a counterpart .* got ReLU6\(\): there is"),
        "prelu": ([nn.PReLU()], r"module\[1\].*got PReLU"),
        "subclass": ([OwnReLU()], r"module\[1\].*got OwnReLU"),
        "softmax": ([nn.Softmax(1)], r"module\[1\].*outputs are logits; leave it out"),
        "log_softmax": ([nn.LogSoftmax(1)], r"module\[1\].*outputs are logits"),
        "slope": ([nn.LeakyReLU(-0.1)], r"module\[1\].*negative_slope must be at least 0"),
        "alpha": ([nn.ELU(-1.0)], r"module\[1\].*alpha must be at least 0"),
        "beta": ([nn.Softplus(beta=2)], r"module\[1\].*beta must be 1"),
        "threshold": ([nn.Softplus(threshold=5)], r"module\[1\].*threshold at least 20 in float32"),
        "layer eps": ([nn.LayerNorm(4, eps=1e-6)], r"module\[1\].*eps must be 1e-05"),
        "layer plain": ([nn.LayerNorm(4, elementwise_affine=False)], "elementwise_affine must be"),
        "layer bias": ([nn.LayerNorm(4, bias=False)], r"module\[1\].*it must have a bias"),
        "layer shape": ([nn.LayerNorm((2, 4))], r"normalized_shape must be \(4,\)"),
        "batch eps": ([nn.BatchNorm1d(4, eps=1e-3)], r"module\[1\].*eps must be 1e-05"),
        "momentum": ([nn.BatchNorm1d(4, momentum=0.01)], r"module\[1\].*momentum must be 0\.1"),
        "batch plain": ([nn.BatchNorm1d(4, affine=False)], r"module\[1\].*affine must be True"),
        "no statistics": ([nn.BatchNorm1d(4, track_running_stats=False)], "track_running_stats"),
        "batch size": ([nn.BatchNorm1d(5)], r"module\[1\].*num_features must be 4"),
        "dropout": ([nn.Dropout(1.0)], r"module\[1\].*p must be below 1"),
        "alpha dropout": ([nn.AlphaDropout()], r"module\[1\].*AlphaDropout"),
        "norm last": ([nn.ReLU(), nn.LayerNorm(4)], rf"module\[2\].*{order}"),
        "dropout first": ([nn.Dropout(), nn.ReLU()], rf"module\[2\].*got ReLU.*{order}"),
        "two activations": ([relu, relu], rf"module\[2\].*{order}"),
        "sizes": ([nn.ReLU(), nn.Linear(5, 1)], r"module\[2\].*4 inputs expected"),
        "hook": ([hooked], r"module\[1\].*it has hooks"),
        "weight_norm": ([normed], r"module\[1\].*ParametrizedLinear"),
        "shared": ([same, nn.ReLU(), same], r"module\[3\].*it occurs twice"),
        "own forward": ([Doubled(nn.ReLU())], r"module\[1\].*a forward method of its own"),
        "nested": ([nn.Sequential(nn.ReLU(), nn.ReLU6())], r"module\[1\]\[1\].*got ReLU6"),
        "flatten": ([nn.Flatten()], r"module\[1\].*got Flatten"),
    }


REFUSED = [
    *("relu6", "prelu", "subclass", "softmax", "log_softmax", "slope", "alpha", "beta"),
    *("threshold", "layer eps", "layer plain", "layer bias", "layer shape", "batch eps"),
    *("momentum", "batch plain", "no statistics", "batch size", "dropout", "alpha dropout"),
    *("norm last", "dropout first", "two activations", "sizes", "hook", "weight_norm", "shared"),
    *("own forward", "nested", "flatten"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_map_is_refused_by_name_and_place(name, nn):
    cases = refused(nn)
    assert list(cases) == REFUSED
    modules, message = cases[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        cr.exchange.from_torch(nn.Sequential(nn.Linear(3, 4), *modules))


def test_sequentials_and_modules_that_were_changed_are_refused(nn):
    def net():
        return nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 1))

    for place, item in ((r"module", net()), (r"module\[0\]", net()[0])):
        whole = item if place == "module" else nn.Sequential(item, nn.Linear(4, 1))
        item.register_forward_hook(lambda module, inputs, outputs: 2 * outputs)
        with pytest.raises(ValueError, match=rf"(?s){place} must have.*it has hooks"):
            cr.exchange.from_torch(whole)
    for place, pick in (("module", lambda m: m), (r"module\[0\]\[0\]", lambda m: m[0][0])):
        module = net()
        pick(module).forward = lambda x: x
        with pytest.raises(ValueError, match=rf"(?s){place} must.*a forward function of its own"):
            cr.exchange.from_torch(module)


def test_named_modules_and_double_softplus(nn):
    from collections import OrderedDict

    named = nn.Sequential(OrderedDict(first=nn.Linear(3, 4), act=nn.Hardtanh()))
    with pytest.raises(ValueError, match=r"module\.act must have a counterpart .* got Hardtanh"):
        cr.exchange.from_torch(named)
    double = nn.Sequential(nn.Linear(3, 4), nn.Softplus()).double()
    with pytest.raises(ValueError, match="threshold at least 40 in float64"):
        cr.exchange.from_torch(double)
    double[1].threshold = 40
    assert cr.exchange.from_torch(double).layers[0].activation.name == "softplus"


def test_wrong_arguments(nn):
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Sequential or Linear"):
        cr.exchange.from_torch(nn.ReLU())
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Sequential or Linear"):
        cr.exchange.from_torch({"0.weight": 1})
    with pytest.raises(ValueError, match="module must hold a Linear at least"):
        cr.exchange.from_torch(nn.Sequential())
    with pytest.raises(ValueError, match=r"module\[0\].*got ReLU.*a Linear must come first"):
        cr.exchange.from_torch(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    for function in (cr.exchange.to_torch, cr.exchange.to_state_dict):
        with pytest.raises(TypeError, match=r"model must be a chainrule\.MLP"):
            function(nn.Linear(2, 2))
    module = nn.Sequential(nn.Linear(2, 2))
    before = copy.deepcopy(module.state_dict())
    cr.exchange.from_torch(module).parameters[:] = 0
    for key, value in module.state_dict().items():
        assert (value == before[key]).all()
