"""A Checkpoint among the callbacks of an estimator, and the fit that goes on from it."""

import warnings

import pytest
from bounds import same_bits
from file_bytes import put_together, take_apart
from sklearn.exceptions import ConvergenceWarning
from test_training import problem

import chainrule as cr
from chainrule.estimators import MLPRegressor


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

    def resumed():
        model = cr.MLP(
            [x.shape[1], *broken.model_.layers], dtype=broken.model_.dtype, seed=broken.model_.seed
        )
        model.fit(x, y, batch_size=16, epochs=12, resume_from=path, **vars(settings))
        return model

    model = resumed()
    assert same_bits(model.parameters, whole.model_.parameters)
    assert model.history.loss == whole.history_.loss
    model.fit(x, y, batch_size=16, epochs=1, resume=True, loss=settings.loss, l2=settings.l2)
    whole.partial_fit(x, y)
    assert same_bits(model.parameters, whole.model_.parameters)
    # Without it the bits would be others; and it is a field as any other.
    header, data = take_apart(path.read_bytes())
    content = header["__metadata__"]["content"]
    assert content["divides_penalty"] is True
    content["divides_penalty"] = False
    path.write_bytes(put_together(header, data))
    assert not same_bits(resumed().parameters, whole.model_.parameters)
    content["divides_penalty"] = 1
    path.write_bytes(put_together(header, data))
    with pytest.raises(cr.ModelFileError, match="divides_penalty must be True or False, got int"):
        resumed()
