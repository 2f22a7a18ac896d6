"""The order of layers in a state dictionary: the right network or an error, never another one."""

import itertools

import hypothesis
import numpy as np
import pytest
from bounds import same_bits
from hypothesis import strategies as st

import chainrule as cr
from chainrule.exchange import from_state_dict


def linear(rng, inputs, outputs, bias=True):
    state = {"weight": rng.normal(size=(outputs, inputs)).astype("float32")}
    return state | ({"bias": rng.normal(size=outputs).astype("float32")} if bias else {})


def layer_norm(rng, n):
    return {name: rng.normal(size=n).astype("float32") for name in ("weight", "bias")}


def batch_norm(rng, n):
    return {
        **layer_norm(rng, n),
        "running_mean": rng.normal(size=n).astype("float32"),
        "running_var": rng.uniform(0.5, 2, size=n).astype("float32"),
        "num_batches_tracked": np.array(3, np.int64),
    }


def joined(modules):
    """Return the state dictionary of modules by name, in PyTorch's order."""
    return {
        f"{name}.{last}": value
        for name, entries in modules.items()
        for last, value in entries.items()
    }


def forward(modules, x):
    """Compute what the modules do, one after the other, with a tanh between layers."""
    modules = list(modules)
    for i, entries in enumerate(modules):
        if entries["weight"].ndim == 2:
            x = x @ entries["weight"].T.astype(np.float64) + entries.get("bias", 0)
        else:
            if "running_mean" in entries:
                mean, variance = entries["running_mean"], entries["running_var"]
            else:
                mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
            x = (x - mean) / np.sqrt(variance + 1e-5) * entries["weight"] + entries["bias"]
        if i + 1 < len(modules) and modules[i + 1]["weight"].ndim == 2:
            x = np.tanh(x)
    return x


def assert_computes(model, modules, rng):
    x = rng.normal(size=(5, model.in_features))
    np.testing.assert_allclose(model.predict(x), forward(modules, x), rtol=2e-3, atol=2e-3)


def chain(rng, names, widths, bias=True):
    sizes = zip(names, widths, widths[1:], strict=False)
    return {name: linear(rng, m, n, bias) for name, m, n in sizes}


def test_numbers_are_numbers(rng):
    modules = chain(rng, ["fc1", "fc2", "fc10"], [3, 3, 3, 3])
    state = dict(sorted(joined(modules).items()))
    assert [key for key in state if "weight" in key] == ["fc1.weight", "fc10.weight", "fc2.weight"]
    assert_computes(from_state_dict(state, activation="tanh"), modules.values(), rng)


@pytest.mark.parametrize(
    "stem", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."]
)
@pytest.mark.parametrize("names", [["0", "2", "10"], ["body.fc1", "body.fc2", "out"]])
def test_wrappers_are_passed_over(stem, names, rng):
    modules = chain(rng, names, [4, 8, 8, 2])
    state = dict(sorted(joined({stem + name: part for name, part in modules.items()}).items()))
    assert_computes(from_state_dict(state, activation="tanh"), modules.values(), rng)
    inner = {name.replace(".fc", "._orig_mod.fc"): part for name, part in modules.items()}
    assert_computes(from_state_dict(joined(inner), activation="tanh"), modules.values(), rng)


@pytest.mark.parametrize(
    "names",
    [
        ["input", "hidden", "output"],
        ["in_layer", "middle", "out"],
        ["embedder", "body", "classifier"],
    ],
)
def test_shapes_say_the_order_of_names_without_numbers(names, rng):
    modules = chain(rng, names, [4, 8, 8, 2])
    for state in (joined(modules), dict(sorted(joined(modules).items()))):
        assert_computes(from_state_dict(state, activation="tanh"), modules.values(), rng)


@pytest.mark.parametrize(
    ("names", "widths"),
    [
        (["in", "out"], [3, 3, 3]),
        (["encoder", "decoder"], [8, 3, 8]),
        (["encoder", "classifier"], [4, 4, 4]),
        (["first", "second", "third", "last"], [4, 8, 8, 8, 2]),
        (["fc1", "hidden", "fc2"], [3, 3, 3, 3]),
    ],
)
def test_orders_that_fit_equally_are_refused_with_all_names(names, widths, rng):
    modules = chain(rng, names, widths)
    for state in (joined(modules), dict(sorted(joined(modules).items()))):
        with pytest.raises(ValueError, match="more than one order; order= says which") as error:
            from_state_dict(state)
        assert all(f"'{name}' (" in str(error.value) for name in names)
        model = from_state_dict(state, activation="tanh", order=names)
        assert_computes(model, modules.values(), rng)


def block_net(rng, norm=batch_norm):
    """Return a class's modules, which a name-sorted file puts in another order."""
    return {
        "fc1": linear(rng, 6, 6),
        "norm1": norm(rng, 6),
        "fc2": linear(rng, 6, 6),
        "norm2": norm(rng, 6),
        "out": linear(rng, 6, 6),
    }


def test_a_dictionary_as_pytorch_writes_it_says_the_order(rng):
    modules = block_net(rng)
    state = joined(modules)
    assert_computes(from_state_dict(state, activation="tanh"), modules.values(), rng)
    # Sorted, it is another one; shuffled, any.
    orders = [sorted(state), sorted(state, reverse=True), sorted(state, key=lambda k: k[::-1])]
    orders += [sorted(state, key=lambda key: (state[key].dtype.str, key))]
    by_module = {name: modules[name] for name in sorted(modules)}
    orders += [list(joined(by_module)), list(rng.permutation(list(state)))]
    for keys in orders:
        shuffled = {key: state[key] for key in keys}
        with pytest.raises(ValueError, match="in more than one order; order= says which"):
            from_state_dict(shuffled)
        model = from_state_dict(shuffled, activation="tanh", order=list(modules))
        assert_computes(model, modules.values(), rng)


def actor_critic(rng, n_actions=2):
    """Return the modules of an actor-critic policy as stable-baselines3 names them."""
    names = {"0": (4, 64), "2": (64, 64)}
    modules = {
        f"mlp_extractor.{net}.{name}": linear(rng, *sizes)
        for net in ("policy_net", "value_net")
        for name, sizes in names.items()
    }
    return {**modules, "action_net": linear(rng, 64, n_actions), "value_net": linear(rng, 64, 1)}


@pytest.mark.parametrize("n_actions", [1, 2, 4, 64])
def test_an_actor_critic_policy(n_actions, rng):
    modules = actor_critic(rng, n_actions)
    states = [joined(modules), {"log_std": np.zeros(2, "float32"), **joined(modules)}]
    for state in [*states, *[dict(sorted(state.items())) for state in states]]:
        with pytest.raises(ValueError, match=r"mlp_extractor|log_std") as error:
            from_state_dict(state)
        assert "prefix= or order= takes" in str(error.value)
        for order in (
            ["mlp_extractor.policy_net", "action_net"],
            ["mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"],
        ):
            want = [modules[n] for n in modules if "policy" in n] + [modules["action_net"]]
            model = from_state_dict(state, activation="tanh", order=order)
            assert_computes(model, want, rng)
            assert model.in_features == 4
        want = [modules[n] for n in modules if "value" in n]
        model = from_state_dict(
            state, activation="tanh", order=["mlp_extractor.value_net", "value_net"]
        )
        assert_computes(model, want, rng)


@pytest.mark.parametrize("names", [("actor", "critic"), ("qf1", "qf2"), ("left", "right")])
@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_networks_side_by_side(names, n, rng):
    networks = [
        {f"{name}.{2 * i}": linear(rng, *s) for i, s in enumerate([(4, 8), (8, n)])}
        for name in names
    ]
    state = joined({**networks[0], **networks[1]})
    for given in (state, dict(sorted(state.items()))):
        with pytest.raises(ValueError, match="prefix=") as error:
            from_state_dict(given)
        assert f"'{names[0]}.0' (4 to 8)" in str(error.value)
        for name, network in zip(names, networks, strict=True):
            for prefix in (name, f"{name}."):
                model = from_state_dict(given, activation="tanh", prefix=prefix)
                assert_computes(model, network.values(), rng)
        if n == 4:
            both = from_state_dict(given, activation="tanh", order=names)
            assert [layer.out_features for layer in both.layers] == [8, 4, 8, 4]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"0": (3, 3), "target.0": (3, 3)}, "more than one order"),
        ({"trunk": (4, 3), "actor": (3, 3), "critic": (3, 1)}, "seem to be of several networks"),
        ({"trunk": (4, 3), "mean": (3, 3), "log_std": (3, 3)}, "seem to be of several networks"),
        ({"encoder": (4, 4), "fc_mu": (4, 4), "fc_logvar": (4, 4)}, "several networks"),
        ({"trunk": (4, 3), "heads.0": (3, 3), "heads.1": (3, 3)}, "several networks"),
        ({"trunk": (4, 3), "head1": (3, 3), "head2": (3, 1)}, "several networks"),
        ({"q_proj": (4, 4), "k_proj": (4, 4), "out_proj": (4, 4)}, "several networks"),
        ({"critic1": (1, 1), "critic2": (1, 1)}, "several networks"),
        (
            {
                "models.0.0": (3, 3),
                "models.0.2": (3, 3),
                "models.1.0": (3, 3),
                "models.1.2": (3, 3),
            },
            "may begin two networks",
        ),
        ({"embedding": (8, 8), "fc": (8, 2)}, "'embedding' is no Linear by its name"),
        ({"0": (8, 8), "0.lora_A": (8, 4), "0.lora_B": (4, 8)}, "'0.lora_A' is within '0'"),
        ({"fc": (8, 8), "lora": (8, 2)}, "no Linear by its name"),
        ({"fc1": (3, 3), "fc01": (3, 3)}, "have the same numbers; order= names the layers"),
        ({"a": (3, 4), "b": (5, 6)}, "are not the inputs of the next in any order; prefix= or"),
        ({"_orig_mod.fc": (3, 4), "fc": (3, 4)}, "names differ in wrappers alone"),
        ({"layers.0": (3, 4), "layers.1": (5, 2)}, r"\['layers.1'\] must be a Linear of 4 inputs"),
    ],
)
def test_what_is_not_one_network_for_sure_is_refused(modules, message, rng):
    state = joined({name: linear(rng, *sizes) for name, sizes in modules.items()})
    for given in (state, dict(sorted(state.items()))):
        with pytest.raises(ValueError, match=message):
            from_state_dict(given)


def test_two_networks_whose_layers_are_numbered_through(rng):
    """As a critic of TD3 has them: l1 to l3 and l4 to l6."""
    first, second = (
        chain(rng, names, [5, 4, 4, 1]) for names in (["l1", "l2", "l3"], ["l4", "l5", "l6"])
    )
    state = joined(first | second)
    with pytest.raises(
        ValueError, match=r"'l4'\] must be .* got 5; order= names the layers of one"
    ):
        from_state_dict(state)
    for network in (first, second):
        model = from_state_dict(state, order=[*network], activation="tanh")
        assert_computes(model, network.values(), rng)


def test_normalizations_where_they_may_be(rng):
    # One width for each: a single order. Before the first Linear there is no place for one.
    modules = {"fc1": linear(rng, 3, 5), "norm": layer_norm(rng, 5), "fc2": linear(rng, 5, 2)}
    state = dict(sorted(joined(modules).items()))
    assert_computes(from_state_dict(state, activation="tanh"), modules.values(), rng)
    first = {"norm": layer_norm(rng, 3), "fc1": linear(rng, 3, 5), "fc2": linear(rng, 5, 2)}
    with pytest.raises(ValueError, match="a normalization follows a Linear"):
        from_state_dict(joined(first))
    square = {name: part for name, part in block_net(rng, layer_norm).items() if name != "out"}
    before = {name: square[name] for name in ("norm1", "fc1", "norm2", "fc2")}
    for state in (joined(before), dict(sorted(joined(before).items()))):
        with pytest.raises(ValueError, match="more than one order"):
            from_state_dict(state)


def test_what_pytorch_noted_beside_its_dictionary(rng):
    class StateDict(dict):
        """As collections.OrderedDict of state_dict(): with the names of all modules."""

    modules = chain(rng, ["a", "b", "c"], [3, 3, 3, 3])
    state = StateDict(joined(modules))
    state._metadata = {"": {}, "a": {}, "act": {}, "b": {}, "c": {}}
    assert_computes(from_state_dict(state, activation="tanh"), modules.values(), rng)
    state._metadata = {"": {}, "b": {}, "a": {}, "c": {}}
    with pytest.raises(ValueError, match="more than one order"):
        from_state_dict(state)
    # Defined in another order than numbered.
    numbered = StateDict(joined(chain(rng, ["fc2", "fc1"], [3, 3, 3])))
    numbered._metadata = {"": {}, "fc2": {}, "fc1": {}}
    with pytest.raises(ValueError, match="numbers and the dictionary say different orders"):
        from_state_dict(numbered)


def test_modules_that_are_defined_the_other_way_round(rng):
    """PyTorch's dictionary has them in that order, which fits too where widths are equal."""

    class StateDict(dict):
        def __init__(self, modules):
            super().__init__(joined(modules))
            self._metadata = {name: {} for name in ["", *modules]}

    for names in (
        ["input", "hidden", "output"],
        ["stem", "body", "fc_out"],
        ["linear_in", "a", "b"],
    ):
        modules = chain(rng, names, [3, 3, 3, 3])
        assert_computes(
            from_state_dict(StateDict(modules), activation="tanh"), modules.values(), rng
        )
        state = StateDict(dict(reversed(modules.items())))
        message = "names and the dictionary say different orders; order="
        with pytest.raises(ValueError, match=message):
            from_state_dict(state)
        model = from_state_dict(state, activation="tanh", order=names)
        assert_computes(model, modules.values(), rng)


def test_wrong_arguments_of_order_and_prefix(rng):
    state = joined(chain(rng, ["a.0", "a.2", "b"], [3, 4, 4, 2]))
    for order, error, message in [
        ("a", TypeError, "order must be a sequence of names of layers, got str"),
        ([1], TypeError, r"order\[0\] must be a string, got int"),
        ([], ValueError, "order must hold the name of a layer at least"),
        (["a", "c"], ValueError, r"order\[1\] must name a layer of state_dict.*'a.0', 'a.2', 'b'"),
        (["a", "a.2"], ValueError, "order must name each layer once, got 'a.2' twice"),
        (["b", "a"], ValueError, r"\['a.0'\] must be a Linear of 2 inputs"),
    ]:
        with pytest.raises(error, match=message):
            from_state_dict(state, order=order)
    with pytest.raises(TypeError, match="prefix must be a string, got list"):
        from_state_dict(state, prefix=["a"])
    with pytest.raises(ValueError, match=r"prefix must be .* begin with, 'a\.0'"):
        from_state_dict(state, prefix="c")
    for nothing in ("", "."):
        with pytest.raises(ValueError, match="prefix must name a part of state_dict, got '"):
            from_state_dict(state, prefix=nothing)
        with pytest.raises(ValueError, match=r"order\[0\] must name a layer of state_dict"):
            from_state_dict(state, order=[nothing])
    with pytest.raises(ValueError, match=r"is it state_dict\['model'\]\?"):
        from_state_dict({"epoch": 3, "model": state})


def test_entries_that_are_of_no_layer_are_all_listed(rng):
    state = joined(chain(rng, ["net.0", "net.2"], [3, 4, 2]))
    strays = {"log_std": np.zeros(2), "obs_rms.count": np.ones(()), "net.0.mask": np.ones((4, 3))}
    with pytest.raises(ValueError, match=r"got 'net\.0\.mask', 'log_std', 'obs_rms\.count'; pre"):
        from_state_dict({**state, **strays})
    del strays["net.0.mask"]
    whole = from_state_dict(state)
    for choice in ({"prefix": "net"}, {"order": ["net.0", "net.2"]}, {"order": ["net"]}):
        model = from_state_dict({**state, **strays}, **choice)
        assert same_bits(model.parameters, whole.parameters)


def test_convolutions_are_refused_in_words():
    state = {"conv.weight": np.ones((4, 1, 3, 3)), "conv.bias": np.ones(4), "fc.weight": np.eye(4)}
    with pytest.raises(
        ValueError, match=r"\['conv'\] .* a convolution's weight of shape \(4, 1, 3"
    ):
        from_state_dict(state)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_short_floats_are_exact(kind, rng):
    import ml_dtypes

    short = np.dtype(kind) if kind == "float16" else np.dtype(ml_dtypes.bfloat16)
    state = joined(chain(rng, ["0", "2"], [3, 4, 2]))
    model = from_state_dict({key: value.astype(short) for key, value in state.items()})
    assert model.dtype == np.float32
    assert same_bits(
        np.ascontiguousarray(model.weights[0].T), state["0.weight"].astype(short).astype("float32")
    )
    arrays = [state["0.weight"].T.astype(short), state["2.weight"].T.astype(short)]
    for weight, array in zip(cr.exchange.from_weights(arrays).weights, arrays, strict=True):
        assert same_bits(np.ascontiguousarray(weight), array.astype("float32"))


# --- any names, any order ------------------------------------------------------------------------

SCHEMES = {
    "sequential": lambda i, kind: str(3 * i + (kind == "norm")),
    "nested": lambda i, kind: f"{i}.{int(kind == 'norm')}",
    "numbered": lambda i, kind: f"{'fc' if kind == 'linear' else 'bn'}{i + 8}",
    "below": lambda i, kind: f"net.layer{i + 8}.{'linear' if kind == 'linear' else 'norm'}",
    "words": lambda i, kind: WORDS[i] + ("_norm" if kind == "norm" else ""),
    "wrapped": lambda i, kind: f"module._orig_mod.{'l' if kind == 'linear' else 'n'}{i + 8}",
    "ends": lambda i, kind: (
        ("input", "fc1", "fc2", "output")[i] + ("" if kind == "linear" else "n")
    ),
}
WORDS = ["input", "hidden", "deep", "output"]
ARRANGEMENTS = {
    "written": lambda key, dtype: 0,
    "by name": lambda key, dtype: key,
    "by name in any case": lambda key, dtype: key.lower(),
    "by size, then name": lambda key, dtype: (-dtype.itemsize, key),
    "backward": lambda key, dtype: key[::-1],
}


@hypothesis.settings(max_examples=400, deadline=None, derandomize=True)
@hypothesis.given(data=st.data())
def test_the_right_network_or_an_error(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    scheme = SCHEMES[data.draw(st.sampled_from(sorted(SCHEMES)), "scheme")]
    widths = data.draw(st.lists(st.sampled_from([2, 2, 2, 3]), min_size=2, max_size=5), "widths")
    norm = data.draw(st.sampled_from([None, layer_norm, batch_norm]), "norm")
    bias = data.draw(st.booleans(), "bias")
    modules = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        modules[scheme(i, "linear")] = linear(rng, inputs, outputs, bias)
        if norm and data.draw(st.booleans(), "with a norm"):
            modules[scheme(i, "norm")] = norm(rng, outputs)
    state = joined(modules)
    how = data.draw(st.sampled_from([*ARRANGEMENTS, "shuffled"]), "arrangement")
    if how == "shuffled":
        keys = data.draw(st.permutations(list(state)), "keys")
    else:
        keys = sorted(state, key=lambda key: ARRANGEMENTS[how](key, state[key].dtype))
    given = {key: state[key] for key in keys}
    try:
        model = from_state_dict(given, activation="tanh")
    except ValueError as error:
        refusal = str(error)
        model = from_state_dict(given, activation="tanh", order=list(modules))
    else:
        refusal = None
    assert refusal is None or "order=" in refusal
    assert_computes(model, modules.values(), rng)
