"""What a network keeps of its estimator's training: checkpoints, and the recipe in its file."""

import warnings

import numpy as np
import pytest
from bounds import same_bits
from estimator_cases import fitted
from file_bytes import put_together, take_apart
from sklearn.exceptions import ConvergenceWarning
from test_training import problem

import chainrule as cr
from chainrule.estimators import MLPClassifier, MLPRegressor


def test_a_checkpoint_of_an_estimator_goes_on_with_its_penalty(rng, tmp_path):
    """scikit-learn divides the penalty by the weight of each batch, which MLP.fit does not."""
    x, y = problem(rng)
    path = tmp_path / "c"

    def estimator(max_iter, *callbacks):
        model = MLPRegressor(
            hidden_layer_sizes=(8,),
            alpha=0.5,
            batch_size=16,
            max_iter=max_iter,
            tol=0.0,
            random_state=3,
            callbacks=list(callbacks),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(x, y)

    whole, broken = estimator(12), estimator(5, cr.Checkpoint(path))
    settings = broken._trainer._settings

    model = cr.MLP(
        [x.shape[1], *broken.model_.layers], dtype=broken.model_.dtype, seed=broken.model_.seed
    )
    given = {**vars(settings), "batch_size": 16, "epochs": 12, "resume_from": path}
    with pytest.raises(ValueError, match="divide_penalties must be True, as in the checkpoint"):
        model.fit(x, y, **{**given, "divide_penalties": False})
    model.fit(x, y, **given)
    assert same_bits(model.parameters, whole.model_.parameters)
    assert model.history.loss == whole.history_.loss
    model.fit(x, y, batch_size=16, epochs=1, resume=True, **vars(settings))
    whole.partial_fit(x, y)
    assert same_bits(model.parameters, whole.model_.parameters)


RECIPES = {
    "adam": (MLPRegressor, {}),
    "sgd": (MLPRegressor, {"solver": "sgd"}),
    "lbfgs": (MLPRegressor, {"solver": "lbfgs"}),
    "poisson": (MLPRegressor, {"loss": "poisson"}),
    "optimizer": (MLPRegressor, {"optimizer": cr.RMSprop(1e-2)}),
    "precision": (MLPRegressor, {"dtype": "float32", "precision": "bf16"}),
    "shards": (MLPRegressor, {"shards": 5}),
    "classes": (MLPClassifier, {}),
    "classes, lbfgs": (MLPClassifier, {"solver": "lbfgs"}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_of_a_saved_network_trains_as_its_estimator(name, rng, tmp_path):
    kind, parameters = RECIPES[name]
    x, y = problem(rng)
    y = y[:, 0] > 0 if kind is MLPClassifier else abs(y)
    weights = rng.uniform(0.5, 2, len(x))
    model = kind(
        hidden_layer_sizes=(8,),
        alpha=5.0,
        max_iter=4,
        tol=0.0,
        warm_start=True,
        random_state=3,
        **parameters,
    )
    fitted(model, x, y, weights)
    path = tmp_path / "model"
    model.model_.save(path)
    # The estimator goes on from its weights, with a new optimizer; so does the network.
    again = cr.MLP.load(path)
    fitted(model, x, y, weights)
    recipe = {**again.recipe, "seed": model.model_.recipe["seed"]}
    assert recipe == model.model_.recipe
    again.fit(x, np.asarray(y, x.dtype), sample_weight=weights, **recipe)
    assert same_bits(again.parameters, model.model_.parameters)
    assert again.history.loss == model.model_.history.loss


@pytest.mark.parametrize("divides", [False, True])
def test_a_file_of_version_1_goes_on_with_its_penalty(divides, rng, tmp_path):
    """There, a field of the training said what is a setting now."""
    x, y = problem(rng)
    model = fitted(
        MLPRegressor(hidden_layer_sizes=(8,), solver="sgd", alpha=5.0, max_iter=2, random_state=3),
        x,
        y,
    )
    path = tmp_path / "model"
    model.save(path)
    header, data = take_apart(path.read_bytes())
    header["__metadata__"]["format_version"] = "1"
    content = header["__metadata__"]["content"]
    for settings in (content["network"]["recipe"], content["training"]["settings"]):
        del settings["divide_penalties"]
    content["training"]["divides_penalty"] = divides
    path.write_bytes(put_together(header, data))
    again = MLPRegressor.load(path)
    assert again._trainer._settings.divide_penalties is divides
    assert again.model_.recipe["divide_penalties"] is False
    assert same_bits(again.predict(x), model.predict(x))
