"""A checkpoint keeps the shards of its fit, and a fit that resumes must have the same."""

import pytest
from bounds import same_bits
from file_bytes import put_together, take_apart
from test_checkpoint import assert_same_training, breaks_off_at, fit_until_it_ends
from test_training import numbers, problem, rich_model

import chainrule as cr


@pytest.mark.parametrize(
    ("width", "optimizer"),
    [(16, cr.Adam()), (400, cr.Adam()), (16, cr.LBFGS(history=4))],
    ids=["small", "large", "lbfgs"],
)
def test_shards_of_a_broken_fit(width, optimizer, dtype, rng, tmp_path):
    x, y = problem(rng, 211)
    path = tmp_path / "c"

    def make():
        return cr.MLP(
            [4, width, 200 if width > 16 else 8, 2], activation="tanh", dtype=dtype, seed=1
        )

    arguments = {"loss": "mse", "optimizer": optimizer, "epochs": 6, "shards": 3}
    whole = make()
    whole.fit(x, y, **arguments)
    broken, n_fits = fit_until_it_ends(make, x, y, path, breaks_off_at(2, 4), **arguments)
    assert n_fits == 3
    assert_same_training(broken, whole)
    assert broken.recipe["shards"] == 3
    others = make()
    others.fit(x, y, **{**arguments, "shards": 4})
    assert not same_bits(numbers(others), numbers(whole))
    message = "shards must be 3, as in the checkpoint '.*c', got "
    for wrong in (None, 1, 4):
        with pytest.raises(ValueError, match=message + str(wrong)):
            make().fit(x, y, resume_from=path, **{**arguments, "shards": wrong})


def test_checkpoints_from_before_the_setting_have_no_shards(rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"
    arguments = {"loss": "mse", "batch_size": 16}
    whole = rich_model()
    whole.fit(x, y, epochs=4, **arguments)
    rich_model().fit(x, y, epochs=2, callbacks=[cr.Checkpoint(path)], **arguments)
    header, data = take_apart(path.read_bytes())
    assert header["__metadata__"]["content"]["call"].pop("shards") is None
    path.write_bytes(put_together(header, data))
    model = rich_model()
    with pytest.raises(ValueError, match=r"shards must be None, as in the .*, got 1"):
        model.fit(x, y, epochs=4, resume_from=path, shards=1, **arguments)
    model.fit(x, y, epochs=4, resume_from=path, **arguments)
    assert_same_training(model, whole)
