"""Models that are saved and loaded: every bit and every field comes back."""

import ast
import math
import pathlib
import threading

import numpy as np
import pytest
import safetensors.numpy
from bounds import same_bits
from test_training import OPTIMIZERS, problem, rich_model

import chainrule as cr
from chainrule import _core
from chainrule._files import container
from chainrule._files.model import pack_model, unpack_model

PACKAGE = pathlib.Path(cr.__file__).parent
GOLDEN = pathlib.Path(__file__).parents[2] / "golden"

ACTIVATIONS = [
    *_core.activations(),
    cr.Activation("leaky_relu", negative_slope=0.1 + 0.2),
    cr.Activation("elu", alpha=1e-300),
]
SCHEDULES = [
    cr.Constant(0.1),
    cr.StepDecay(0.1, 3, 0.7),
    cr.ExponentialDecay(0.1, 0.9),
    cr.InverseScaling(0.1, 0.3),
    cr.Cosine(0.1, 0.2, 0.3),
    cr.OneCycle(0.1, 0.2, 20, 1e3),
    cr.ReduceOnPlateau(0.1, 0.5, 3, 1e-3, 0.1),
]
LOSSES = [
    *(cr.MSE(), cr.MAE(), cr.Huber(0.1 + 0.2), cr.Quantile([0.1, 0.9]), cr.BinaryCrossEntropy()),
    *(cr.CrossEntropy(0.1, [1, 2]), cr.CrossEntropy(), cr.Poisson(), cr.GaussianNLL()),
]


def saved(model, folder):
    model.save(folder / "model.safetensors")
    return cr.MLP.load(str(folder / "model.safetensors"))


def assert_same(got, want):
    assert type(got) is type(want)
    assert got.in_features == want.in_features
    assert got.out_features == want.out_features
    assert got.layers == want.layers
    assert repr(got) == repr(want)
    assert got.dtype is want.dtype
    assert got.seed == want.seed
    assert same_bits(got.parameters, want.parameters)
    assert same_bits(got.running_statistics, want.running_statistics)
    assert not np.shares_memory(got.parameters, want.parameters)
    assert got.recipe == want.recipe
    assert got.history == want.history


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_layer_comes_back(activation, norm, dtype, rng, tmp_path):
    layers = [
        cr.Dense(3, activation, 0.1 + 0.2, norm, bias, initializer)
        for bias, initializer in zip(
            [True, False] * 9, [None, *_core.initializers(), None], strict=False
        )
    ]
    model = cr.MLP([5, *layers, 2], dtype=dtype, seed=2**64 - 1)
    model.parameters[:] = rng.normal(size=model.n_parameters)
    model.running_statistics[:] = rng.uniform(size=model.running_statistics.size)
    x = rng.normal(size=(7, 5))
    again = saved(model, tmp_path)
    assert_same(again, model)
    assert same_bits(again.predict(x), model.predict(x))
    assert again.history is again.recipe is None
    again.initialize(3)
    model.initialize(3)
    assert same_bits(again.parameters, model.parameters)


def test_every_number_comes_back(dtype, tmp_path):
    model = cr.MLP([4, 2], dtype=dtype)
    info = np.finfo(model.dtype)
    model.parameters[:] = [
        *(np.nan, np.inf, -np.inf, -0.0, info.smallest_subnormal),
        *(info.tiny, info.max, -info.max, 1 + info.eps, 0.0),
    ]
    view = model.parameters.view(f"u{model.dtype.itemsize}")
    view[0] += 5  # a NaN of another kind
    assert_same(saved(model, tmp_path), model)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_every_loss_comes_back(loss, rng, tmp_path):
    model = cr.MLP([4, 2])
    y = rng.integers(0, 2, 30) if isinstance(loss, cr.CrossEntropy) else rng.uniform(size=(30, 2))
    if isinstance(loss, cr.Quantile | cr.GaussianNLL):
        y = y[:, :1]
    model.fit(rng.normal(size=(30, 4)), y, loss=loss, epochs=1)
    assert saved(model, tmp_path).recipe["loss"] == loss


@pytest.mark.parametrize(
    "optimizer",
    [*OPTIMIZERS, cr.LBFGS(0.5, 3, 1e-9, 7), *(cr.AdamW(schedule) for schedule in SCHEDULES)],
    ids=str,
)
def test_the_recipe_trains_the_same_model_again(optimizer, rng, tmp_path):
    x, y = problem(rng)
    model = rich_model(dropout=0.0)
    model.fit(
        x,
        y,
        loss="huber",
        optimizer=optimizer,
        batch_size=128 if isinstance(optimizer, cr.LBFGS) else 20,
        epochs=4,
        shuffle=False,
        validation_fraction=0.1 + 0.2,
        l1=1e-4,
        l2=1e-3,
        penalize_biases=True,
        divide_penalties=True,
        clip_norm=None if isinstance(optimizer, cr.LBFGS) else 0.5,
        clip_value=None if isinstance(optimizer, cr.LBFGS) else 0.25,
        early_stopping=cr.EarlyStopping(3, 0.01, "score", False),
        seed=2**63 + 1,
    )
    again = saved(model, tmp_path)
    assert_same(again, model)
    assert again.recipe["optimizer"] == optimizer
    again.initialize()
    assert again.recipe is again.history is None
    again.fit(x, y, **model.recipe)
    assert same_bits(again.parameters, model.parameters)
    assert again.recipe == model.recipe
    assert again.history.validation_loss == model.history.validation_loss


def test_the_recipe_counts_resumed_epochs(rng, tmp_path):
    x, y = problem(rng)
    model = rich_model()
    model.fit(x, y, loss="mse", epochs=2)
    model.fit(x, y, loss="mse", epochs=3, resume=True, batch_size=10**30)
    again = saved(model, tmp_path)
    assert again.recipe["epochs"] == 5
    assert len(again.history.loss) == 5
    assert again.recipe["batch_size"] == 2**63 - 1
    with pytest.raises(ValueError, match="resume must be False before the first fit"):
        again.fit(x, y, loss="mse", resume=True)


def test_the_history_comes_back(rng, tmp_path):
    x, y = problem(rng)
    model = rich_model()
    model.fit(x, y, loss="mse", epochs=2)
    model.fit(x, y, loss="mse", epochs=1, resume=True, validation_data=(x, y))
    again = saved(model, tmp_path)
    assert all(map(math.isnan, again.history.validation_loss[:2]))
    for name, values in vars(model.history).items():
        got = getattr(again.history, name)
        assert type(got) is type(values)
        if isinstance(values, list):
            assert same_bits(np.array(got), np.array(values)), name
            assert all(type(value) is float for value in got)
        else:
            assert got == values
    # A model that is loaded and saved is the same file.
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_other_programs_read_the_arrays(rng, dtype, tmp_path):
    model = rich_model(dtype)
    x, y = problem(rng)
    model.fit(x, y, loss="mse", epochs=1)
    model.save(tmp_path / "file")
    arrays = safetensors.numpy.load_file(tmp_path / "file")
    for i, (weight, bias) in enumerate(zip(model.weights, model.biases, strict=True)):
        assert same_bits(arrays.pop(f"layers.{i}.weight"), weight)
        assert same_bits(arrays.pop(f"layers.{i}.bias"), bias)
    assert same_bits(arrays.pop("layers.0.running_mean"), model.running_statistics[:16])
    assert same_bits(arrays.pop("layers.0.running_variance"), model.running_statistics[16:])
    norms = {f"layers.{i}.{role}" for i in (0, 1) for role in ("scale", "shift")}
    assert {name for name in arrays if not name.startswith("history.")} == norms
    assert len(arrays) == 4 + 6


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_all_versions_are_read(version):
    """The files beside the golden values were written by 0.1.0; model_file.py tells how."""
    model = cr.MLP.load(GOLDEN / f"model_{version}.safetensors")
    of_version_2 = version >= 2  # True for what version 1 did not have
    assert model.layers == (
        cr.Dense(3, cr.Activation("elu", alpha=0.5), 0.25, "batch", True, "orthogonal"),
        cr.Dense(2, "tanh", 0.0, "layer", False, "glorot_uniform"),
        cr.Dense(2, "identity", 0.0, None, True, "glorot_uniform"),
    )
    assert (model.in_features, model.dtype, model.seed) == (4, np.float64, 2**63 + 1)
    assert same_bits(model.parameters, np.arange(1, model.n_parameters + 1) / 3)
    assert same_bits(model.running_statistics, np.arange(1, 7) / 7)
    assert model.recipe == {
        "loss": cr.CrossEntropy(0.1, [1, 2]),
        "optimizer": cr.AdamW(cr.Cosine(0.1, 0.2), weight_decay=0.5, epsilon_hat=of_version_2),
        "l1": 0.0,
        "l2": 0.125,
        "penalize_biases": True,
        "divide_penalties": of_version_2,
        "clip_norm": 0.5,
        "clip_value": None,
        "seed": 7,
        "precision": "float64",
        "shards": None,
        "batch_size": 16,
        "epochs": 2,
        "shuffle": False,
        "validation_fraction": 0.25,
        "early_stopping": cr.EarlyStopping(3, 0.5, "score", False),
    }
    assert model.history == cr.History(
        *([0.5, 0.25], [0.75, 0.125], [0.5, 1.0], [0.1, 0.05], [1.0, 2.0], [3.0, 1.5]),
        best_epoch=2,
        stop_reason="epochs",
    )


def test_other_files_hold_models_too(rng, tmp_path):
    one, two = rich_model(), cr.MLP([3, 1], dtype="float64", seed=9)
    x, y = problem(rng)
    one.fit(x, y, loss="mse", epochs=1)
    packed = [pack_model(one, "one."), pack_model(two, "two.")]
    container.write(
        tmp_path / "file",
        "pair",
        {"models": [metadata for metadata, _ in packed]},
        {**packed[0][1], **packed[1][1]},
    )
    contents = container.read(tmp_path / "file", "pair")
    metadata = contents.metadata["models"]
    assert_same(unpack_model(metadata[0], contents.tensors, "one."), one)
    assert_same(unpack_model(metadata[1], contents.tensors, "two."), two)
    with pytest.raises(ValueError, match=r"tensor 'layers\.0\.weight' must be float32"):
        unpack_model(metadata[0], contents.tensors, "two.")
    with pytest.raises(cr.ModelFileError, match="kind 'mlp', got the kind 'pair'"):
        cr.MLP.load(tmp_path / "file")


def test_paths(tmp_path, monkeypatch):
    model = cr.MLP([1, 1])
    monkeypatch.chdir(tmp_path)
    for path in ("file", pathlib.Path("other file"), "\u00e9\udcff"):
        model.save(path)
        assert_same(cr.MLP.load(path), model)
    with pytest.raises(IsADirectoryError):
        model.save("")
    with pytest.raises(TypeError, match=r"path must be a str or os\.PathLike, got bytes"):
        model.save(b"file")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_model_in_training_is_saved_by_its_callbacks_alone(rng, tmp_path):
    x, y = problem(rng)
    model = rich_model()
    numbers, refused = [], []

    def elsewhere():
        try:
            model.save(tmp_path / "elsewhere")
        except RuntimeError as error:
            refused.append(str(error))

    def callback(state):
        state.model.save(tmp_path / f"{state.epoch}")
        numbers.append(state.model.parameters.copy())
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    model.fit(x, y, loss="mse", epochs=3, callbacks=[callback])
    for epoch, parameters in enumerate(numbers, start=1):
        again = cr.MLP.load(tmp_path / f"{epoch}")
        assert same_bits(again.parameters, parameters)
        assert len(again.history.loss) == epoch
    assert refused == ["save must wait: another thread is training this model"] * 3
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_that_is_loaded_can_be_code():
    names = set()
    for path in (PACKAGE / "_files").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names |= {alias.name for alias in node.names} | {getattr(node, "module", None)}
            elif isinstance(node, ast.Name):
                names.add(node.id)
    assert {"json", "hashlib", "History"} <= names
    forbidden = {"pickle", "marshal", "shelve", "dill", "joblib", "importlib", "eval", "exec"}
    assert names & (forbidden | {"__import__", "compile", "globals", "builtins", "mmap"}) == set()
