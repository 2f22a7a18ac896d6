"""Checkpoints that a fit must not go on from: of another call, or not as they were written."""

import os

import numpy as np
import pytest
from bounds import same_bits
from file_bytes import change_somewhere, put_together, take_apart
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checkpoint import PLATEAU
from test_training import numbers, problem, rich_model

import chainrule as cr

BASE = {
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 10,
    "epochs": 3,
    "l2": 0.5,
    "validation_fraction": 0.2,
    "early_stopping": cr.EarlyStopping(9),
}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "mae"}, r"loss must be MSE\(\), as in the checkpoint '.*c', got MAE\(\)"),
        ({"optimizer": cr.Adam(2e-3)}, r"optimizer must be Adam\(learning_rate=0.001, .* got Adam"),
        ({"optimizer": "adamw"}, r"optimizer must be Adam\(.*got AdamW"),
        ({"l1": 0.1}, "l1 must be 0.0, as in the checkpoint '.*c', got 0.1"),
        ({"l2": 0.0}, "l2 must be 0.5, as in"),
        ({"penalize_biases": True}, "penalize_biases must be False, as in"),
        ({"divide_penalties": True}, "divide_penalties must be False, as in"),
        ({"clip_norm": 1}, "clip_norm must be None, as in .* got 1.0"),
        ({"seed": 6}, "seed must be 5, as in .* got 6"),
        ({"batch_size": 11}, "batch_size must be 10, as in .* got 11"),
        ({"shuffle": False}, "shuffle must be True, as in .* got False"),
        ({"early_stopping": None}, r"early_stopping must be EarlyStopping\(.* got None"),
        ({"validation_fraction": 0.3}, "validation_fraction must be 0.2, as in .* got 0.3"),
        ({"sample_weight": np.ones(83)}, "sample_weight must be None, as in .* got float32 of"),
        ({"X": (0, 0)}, "X must be float32 of shape .66, 4. with checksum .* got float32 of shape"),
        ({"y": (82, 1)}, "^(validation )?y must be float32 of shape .* with checksum"),
        ({"rows": 82}, r"X must be float32 of shape \(66, 4\) .* got float32 of shape \(66, 4\)"),
        ({"rows": 80}, r"X must be float32 of shape \(66, 4\) .* got float32 of shape \(64, 4\)"),
        ({"model": {"seed": 6}}, "seed of the model must be 5, as in .* got 6"),
        ({"model": {"dropout": 0.1}}, r"layers must be \(Dense\(.* got \(Dense"),
        ({"model": {"dtype": "float64"}}, "dtype must be float32, as in .* got float64"),
    ],
)
def test_other_settings_are_refused(given, message, rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"
    rich_model().fit(x, y, callbacks=[cr.Checkpoint(path)], **BASE)
    given = dict(given)
    model = rich_model(**given.pop("model", {}))
    x, y = x[: given.get("rows")].copy(), y[: given.pop("rows", None)].copy()
    if "X" in given:
        x[given.pop("X")] += 1e-6
    if "y" in given:
        y[given.pop("y")] += 1e-6
    before = numbers(model)
    with pytest.raises(ValueError, match=message) as raised:
        model.fit(x, y, resume_from=path, **{**BASE, **given})
    assert not isinstance(raised.value, cr.ModelFileError)
    assert same_bits(numbers(model), before)
    assert model.history is model.recipe is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": 3}, TypeError, r"path must be a str or os\.PathLike, got int"),
        ({"path": "c", "every_epochs": 0}, ValueError, "every_epochs must be an integer >= 1"),
        ({"path": "c", "every_epochs": 1.5}, TypeError, "every_epochs must be an integer"),
        ({"path": "c", "every_seconds": -1}, ValueError, "every_seconds must be a finite number"),
        ({"path": "c", "every_seconds": "1"}, TypeError, "every_seconds must be a finite number"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        cr.Checkpoint(**arguments)


def test_wrong_paths_to_resume_from(rng, tmp_path):
    x, y = problem(rng)
    model = rich_model()
    with pytest.raises(TypeError, match=r"resume_from must be a str or os\.PathLike, got bool"):
        model.fit(x, y, loss="mse", resume_from=True)
    with pytest.raises(IsADirectoryError):
        model.fit(x, y, loss="mse", resume_from=tmp_path)
    model.save(tmp_path / "model")
    with pytest.raises(cr.ModelFileError, match="be of the kind 'checkpoint', got the kind 'mlp'"):
        model.fit(x, y, loss="mse", resume_from=tmp_path / "model")
    model.fit(x, y, loss="mse", epochs=1, callbacks=[cr.Checkpoint(tmp_path / "c")])
    with pytest.raises(cr.ModelFileError, match="be of the kind 'mlp', got the kind 'checkpoint'"):
        cr.MLP.load(tmp_path / "c")
    assert cr.Checkpoint(tmp_path / "c") == cr.Checkpoint(str(tmp_path / "c"))


# --- files that are not as they were written -----------------------------------------------------


@pytest.fixture(scope="module")
def file_of():
    """Return the bytes of checkpoints, and what resumes from some."""
    x, y = problem(np.random.default_rng(1), 20)
    of_optimizers = {
        "adam": {"optimizer": cr.AdamW(PLATEAU), "early_stopping": cr.EarlyStopping(3)},
        "lbfgs": {"optimizer": cr.LBFGS(history=3)},
    }

    def fit(optimizer, path, **arguments):
        model = cr.MLP([4, 3, 2], activation="tanh", norm="batch", seed=1)
        model.fit(x, y, loss="mse", epochs=5, **of_optimizers[optimizer], **arguments)
        return model

    return fit


def resumed(file_of, optimizer, path):
    """Resume; return the model, or None when the file is refused."""
    try:
        return file_of(optimizer, path, resume_from=path)
    except cr.ModelFileError:
        return None


def test_flipped_bytes_of_a_checkpoint_are_found(file_of, tmp_path):
    path = tmp_path / "c"
    file_of("adam", path, callbacks=[cr.Checkpoint(path)])
    whole = path.read_bytes()
    assert resumed(file_of, "adam", path) is not None
    with path.open("r+b", buffering=0) as file:
        for i in range(0, len(whole), 3):
            os.pwrite(file.fileno(), bytes([whole[i] ^ 1 << i % 8]), i)
            assert resumed(file_of, "adam", path) is None
            os.pwrite(file.fileno(), whole[i : i + 1], i)
    for length in range(0, len(whole), 20):
        path.write_bytes(whole[:length])
        assert resumed(file_of, "adam", path) is None


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epoch", -1), ("epoch", 2**63), ("epoch", 1.5), ("epoch", None), ("first_epoch", 9)),
        *(("step_count", -1), ("step_count", 2**63), ("ended_by_callback", 1), ("history", {})),
        *(("schedule_epochs", -1), ("stopping_epochs", -1), ("has_best", None), ("call", [])),
    ],
)
def test_wrong_fields_of_a_checkpoint(name, value, optimizer, file_of, tmp_path):
    path = tmp_path / "c"
    file_of(optimizer, path, callbacks=[cr.Checkpoint(path)])
    header, data = take_apart(path.read_bytes())
    header["__metadata__"]["content"][name] = value
    path.write_bytes(put_together(header, data))
    assert resumed(file_of, optimizer, path) is None


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_odd_checkpoints_raise_nothing_else(optimizer, file_of, tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "c"
    file_of(optimizer, path, callbacks=[cr.Checkpoint(path)])
    whole = path.read_bytes()

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def check(data):
        header, kept = take_apart(whole)
        change_somewhere(data.draw, header)
        path.write_bytes(put_together(header, kept))
        try:
            resumed(file_of, optimizer, path)
        except ValueError as error:
            said = str(error)
        else:
            return
        # Of another call, or of more epochs.
        assert "checkpoint" in said

    check()
