"""Estimators whose gradients are summed in shards: bits, fits that go on, what is kept, errors."""

import pickle

import numpy as np
import pytest
from bounds import same_bits
from estimator_cases import DIABETES, WINE, classifier, fitted, regressor
from file_bytes import put_together, take_apart
from sklearn.base import clone

import chainrule as cr

DATA = {"classifier": WINE, "regressor": DIABETES}
MAKE = {"classifier": classifier, "regressor": regressor}
KINDS = pytest.mark.parametrize("kind", MAKE)


def weights(model):
    return model.model_.parameters.tobytes()


def state(model):
    """Return all that is in an estimator, except what a clock has measured."""
    if hasattr(model, "history_"):
        model.history_.seconds = model.history_.steps_per_second = [0.0] * len(model.history_.loss)
    return pickle.dumps(model)


@KINDS
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_fit_has_the_bits_of_the_networks_own(kind, solver):
    X, y = DATA[kind]
    reached = set()
    for shards in (None, 1, 3, 8):
        made = [
            fitted(
                MAKE[kind](solver=solver, batch_size=90, max_iter=4, shards=shards, n_threads=n),
                *(X, y),
            )
            for n in (1, 2, 3)
        ]
        assert len({weights(model) for model in made}) == 1
        network = made[0].model_
        assert network.recipe["shards"] == shards
        again = cr.MLP([X.shape[1], *network.layers], dtype=network.dtype, seed=network.seed)
        start = fitted(MAKE[kind](solver=solver, batch_size=90, max_iter=1), X, y)._trainer
        assert start.shards is None
        first = clone(made[0]).set_params(learning_rate_init=1e-300, alpha=0.0, max_iter=1)
        again.parameters[:] = fitted(first, X, y).model_.parameters  # those drawn
        if solver != "lbfgs":
            targets = np.asarray(y, network.dtype) if kind == "regressor" else y
            again.fit(X, targets, **network.recipe)
            assert same_bits(again.parameters, network.parameters)
        reached.add(weights(made[0]))
    assert len(reached) == 4


@KINDS
def test_partial_fit_in_other_shards_starts_the_optimizer_anew(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=3, batch_size=90, shards=3), X, y)
    trainer = model._trainer
    assert model.partial_fit(X, y)._trainer is trainer
    model.set_params(shards=np.int32(3)).partial_fit(X, y)
    assert model._trainer is trainer
    assert trainer.shards == 3
    network = model.model_.copy()
    model.set_params(shards=4).partial_fit(X, y)
    assert model._trainer is not trainer
    assert model._trainer.shards == 4
    settings = {**vars(trainer._settings), "seed": model._trainer.seed, "shards": 4}
    targets = np.asarray(y, network.dtype) if kind == "regressor" else y
    network.fit(X, targets, batch_size=90, epochs=1, **settings)
    assert same_bits(network.parameters, model.model_.parameters)


@KINDS
def test_a_warm_start_takes_the_present_shards(kind):
    X, y = DATA[kind]
    reached = {}
    for shards in (3, None, 5):
        model = fitted(MAKE[kind](warm_start=True, max_iter=3, batch_size=90, shards=3), X, y)
        fitted(model.set_params(shards=shards), X, y)
        assert model.model_.recipe["shards"] == shards
        reached[shards] = weights(model)
    assert len(set(reached.values())) == 3


@KINDS
@pytest.mark.parametrize("version", ["1", "2"])
def test_files_from_before_the_parameter_have_none(kind, version, tmp_path):
    X, y = DATA[kind]
    path = tmp_path / "file"
    model = fitted(MAKE[kind](max_iter=2), X, y)
    model.save(path)
    header, data = take_apart(path.read_bytes())
    header["__metadata__"]["format_version"] = version
    content = header["__metadata__"]["content"]
    found = [content["parameters"], content["training"]["settings"], content["network"]["recipe"]]
    for fields in found:
        assert fields.pop("shards") is None
    path.write_bytes(put_together(header, data))
    again = type(model).load(path)
    assert again.get_params() == model.get_params()
    assert again._trainer.shards is again.model_.recipe["shards"] is None
    assert weights(again.partial_fit(X, y)) == weights(model.partial_fit(X, y))
    assert again._trainer.epoch == 3


@KINDS
def test_pickles_from_before_the_parameter_have_none(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=2), X, y)
    values = pickle.loads(pickle.dumps(model.__getstate__()))
    del values["shards"], values["_training"]["settings"]["shards"]
    old = object.__new__(type(model))
    old.__setstate__(values)
    assert old.get_params() == model.get_params()
    assert weights(old.partial_fit(X, y)) == weights(model.partial_fit(X, y))


@KINDS
@pytest.mark.parametrize("value", [0, -1, 1025, 2.0, "2"])
def test_wrong_numbers_are_refused(kind, value):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=2, shards=2), X, y)
    before = state(model.set_params(shards=value))
    with pytest.raises(ValueError, match=r"'shards' parameter of MLP\w+ must be .*\[1, 1024\]"):
        model.fit(X, y)
    assert state(model) == before


@KINDS
def test_a_bool_is_no_number_of_shards(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=2, shards=1), X, y)
    before = state(model.set_params(shards=True))
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(TypeError, match="shards must be an integer, got bool"):
            fit(X, y)
    assert state(model) == before


@KINDS
def test_batch_normalization_is_of_all_rows(kind):
    X, y = DATA[kind]
    message = "shards must be None or 1 with batch normalization, .*, got 4"
    random_state = np.random.RandomState(3)
    new = MAKE[kind](norm="batch", shards=4, random_state=random_state)
    with pytest.raises(ValueError, match=message):
        new.fit(X, y)
    assert not {"model_", "classes_", "_n_targets", "history_"} & vars(new).keys()
    assert random_state.randint(1000) == np.random.RandomState(3).randint(1000)  # drew nothing
    parts = [
        fitted(MAKE[kind](norm="batch", standardize=True, max_iter=2, shards=n), X, y)
        for n in (None, 1)
    ]
    assert weights(parts[0]) == weights(parts[1])
    model = parts[0].set_params(shards=4)
    before = state(model)
    for fit in (model.fit, model.partial_fit, model.set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match=message):
            fit(X, y)
    assert state(model.set_params(warm_start=False)) == before
