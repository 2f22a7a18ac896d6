"""Files of estimators that are cut, damaged, hostile or from the future: a ModelFileError each."""

import os

import numpy as np
import pytest
from estimator_cases import WINE, classifier, fitted, indicators, regressor
from file_bytes import change_somewhere, put_together, take_apart
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.estimators import MLPClassifier, MLPRegressor

X = WINE[0][:, :2]
TEXTS = np.array(["a", "bc", "d"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the bytes of small files by what they hold, with their classes."""
    folder = tmp_path_factory.mktemp("files")
    small = {"hidden_layer_sizes": 2, "max_iter": 2}
    models = {
        "regressor": fitted(regressor(**small), X, X[:, 0] * X[:, 1]),
        "classifier": fitted(classifier(**small, early_stopping=True), X, TEXTS[WINE[1]]),
        "integers": fitted(classifier(**small, class_weight={0: 2}), *WINE),
        "labels": fitted(classifier(**small), *indicators()),
        "binary": fitted(classifier(**small), X, WINE[1] > 0),
        "plateau": fitted(
            regressor(**small, optimizer=cr.SGD(cr.ReduceOnPlateau(0.1))), X, X[:, 0]
        ),
        "memory": fitted(regressor(**small, optimizer="lbfgs"), X, X[:, 0]),
        "counts": fitted(regressor(**small, loss="poisson"), X, WINE[1]),
        "quantiles": fitted(regressor(**small, loss=cr.Quantile([0.1, 0.9])), X, X[:, 0]),
    }
    made = {}
    for name, model in models.items():
        model.save(folder / "file")
        made[name] = (type(model), (folder / "file").read_bytes())
    return made


def load(files, name, path, data):
    path.write_bytes(data)
    return files[name][0].load(path)


def changed(files, name, path, change):
    """Load a file after `change` was called with its content and header."""
    header, data = take_apart(files[name][1])
    change(header["__metadata__"]["content"], header)
    return load(files, name, path, put_together(header, data))


def test_every_truncation_is_found(files, tmp_path):
    whole = files["classifier"][1]
    for length in range(len(whole)):
        with pytest.raises(cr.ModelFileError):
            load(files, "classifier", tmp_path / "file", whole[:length])
    with pytest.raises(cr.ModelFileError, match="1 bytes behind its end"):
        load(files, "classifier", tmp_path / "file", whole + b"\0")
    load(files, "classifier", tmp_path / "file", whole)


def test_every_flipped_bit_is_found(files, tmp_path):
    whole = files["regressor"][1]
    path = tmp_path / "file"
    path.write_bytes(whole)
    missed = []
    with path.open("r+b", buffering=0) as file:
        for i in range(len(whole)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([whole[i] ^ 1 << bit]), i)
                try:
                    MLPRegressor.load(path)
                except cr.ModelFileError:
                    continue
                missed.append((i, bit))
            os.pwrite(file.fileno(), whole[i : i + 1], i)
    assert missed == []
    MLPRegressor.load(path)


def test_a_newer_version_is_refused(files, tmp_path):
    def change(content, header):
        header["__metadata__"]["format_version"] = "3"

    with pytest.raises(cr.ModelFileError, match=r"version 3 of the format; .* update"):
        changed(files, "classifier", tmp_path / "file", change)


def put(*keys):
    """Return a change that puts the last of some keys under the others."""
    *path, last, value = keys

    def change(content, header):
        for key in path:
            content = content[key]
        assert last in content
        content[last] = value

    return change


def drop(part, name):
    return lambda content, header: content[part].pop(name)


def rename(before, after):
    def change(content, header):
        items = list(header.items())
        header.clear()
        header.update((after if key == before else key, value) for key, value in items)

    return change


def of_parameters(name, value):
    return put("parameters", name, value)


def of_attributes(name, value):
    return put("attributes", name, value)


WRONG = {
    # Parameters.
    "alpha is negative": ("regressor", of_parameters("alpha", -1.0)),
    "alpha is a text": ("regressor", of_parameters("alpha", "1e-4")),
    "threads are many": ("regressor", of_parameters("n_threads", 10**9)),
    "an unknown solver": ("regressor", of_parameters("solver", "magic")),
    "a missing parameter": ("regressor", drop("parameters", "tol")),
    "a parameter of the other": (
        "regressor",
        lambda content, header: content["parameters"].update(class_weight=None),
    ),
    "callbacks": (
        "regressor",
        of_parameters(
            "callbacks",
            {
                "type": "list",
                "items": [
                    {
                        "type": "EarlyStopping",
                        "patience": 1,
                        "min_delta": 0.0,
                        "monitor": "loss",
                        "restore_best": True,
                    }
                ],
            },
        ),
    ),
    "a class by name": ("regressor", of_parameters("dtype", {"type": "class", "value": "object"})),
    "a dtype by name": ("regressor", of_parameters("dtype", {"type": "dtype", "value": "O"})),
    "an unknown type": ("regressor", of_parameters("loss", {"type": "os.system", "value": "ls"})),
    "a bare list": ("regressor", of_parameters("hidden_layer_sizes", [2])),
    "a key that is a list": (
        "integers",
        of_parameters(
            "class_weight",
            {"type": "dict", "items": [[{"type": "list", "items": []}, 1]]},
        ),
    ),
    "no pair": ("integers", of_parameters("class_weight", {"type": "dict", "items": [[1]]})),
    "another float": ("regressor", of_parameters("tol", {"type": "float", "value": "1e999"})),
    "no array": (
        "regressor",
        of_parameters(
            "dropout", {"type": "array", "value": {"kind": "numbers", "tensor": "nothing"}}
        ),
    ),
    "an array of the network": (
        "regressor",
        of_parameters(
            "dropout",
            {"type": "array", "value": {"kind": "numbers", "tensor": "network.layers.0.bias"}},
        ),
    ),
    # Attributes.
    "negative epochs": ("regressor", of_attributes("n_iter_", -1)),
    "too many samples": ("regressor", of_attributes("t_", 2**63)),
    "epochs are true": ("regressor", of_attributes("n_iter_", True)),
    "an unknown attribute": (
        "regressor",
        lambda content, header: content["attributes"].update(model_=1),
    ),
    "no activation": ("regressor", drop("attributes", "out_activation_")),
    "an activation of classes": ("regressor", of_attributes("out_activation_", "softmax")),
    "rates of squares": ("regressor", of_attributes("out_activation_", "exp")),
    "squares of rates": ("counts", of_attributes("out_activation_", "identity")),
    "two targets": ("regressor", of_attributes("_n_targets", 2)),
    "two targets of quantiles": ("quantiles", of_attributes("_n_targets", 2)),
    "no targets": ("regressor", of_attributes("_n_targets", 0)),
    "a curve of another length": ("regressor", of_attributes("loss_curve_", 2**40)),
    "a curve that is a list": ("regressor", of_attributes("loss_curve_", [0.5])),
    "a loss without a number": ("regressor", of_attributes("loss_", 0)),
    "no flag": ("classifier", of_attributes("_is_multilabel", 0)),
    "softmax of labels": ("classifier", of_attributes("_is_multilabel", True)),
    "binary as softmax": ("binary", of_attributes("out_activation_", "softmax")),
    "classes with sigmoids": ("classifier", of_attributes("out_activation_", "logistic")),
    "two classes": (
        "classifier",
        of_attributes("classes_", {"kind": "objects", "texts": ["a", "b"]}),
    ),
    "classes that repeat": (
        "classifier",
        of_attributes("classes_", {"kind": "objects", "texts": ["a", "b", "b"]}),
    ),
    "classes in disorder": (
        "classifier",
        of_attributes("classes_", {"kind": "objects", "texts": ["b", "a", "c"]}),
    ),
    "classes of two types": (
        "classifier",
        of_attributes("classes_", {"kind": "objects", "texts": ["a", 1, "b"]}),
    ),
    "no classes": ("classifier", of_attributes("classes_", {"kind": "objects", "texts": []})),
    "texts of another array": (
        "classifier",
        of_attributes("classes_", {"kind": "texts", "tensor": "attributes.loss_curve_"}),
    ),
    "numbers that are texts": (
        "integers",
        of_attributes("classes_", {"kind": "texts", "tensor": "attributes.classes_"}),
    ),
    # Network and training.
    "another network": ("regressor", put("network", "in_features", 3)),
    "a huge network": ("regressor", put("network", "in_features", 2**40)),
    "a wide layer": ("regressor", put("network", "layers", 0, "out_features", 2**62)),
    "no such history": ("regressor", put("network", "history", None)),
    "a history of another": ("regressor", lambda content, header: content.update(history={})),
    "a training of classes": (
        "regressor",
        put("training", "settings", "loss", {"type": "BinaryCrossEntropy"}),
    ),
    "another optimizer": (
        "regressor",
        put("training", "settings", "optimizer", {"type": "Adagrad"}),
    ),
    "negative steps": ("regressor", put("training", "step_count", -1)),
    "too many epochs": ("regressor", put("training", "epoch", 2**62 + 1)),
    "no penalty": ("regressor", put("training", "settings", "divide_penalties", 1)),
    "a plateau of none": ("regressor", put("training", "schedule_epochs", 1)),
    "no plateau": ("plateau", put("training", "schedule_epochs", None)),
    "a lost training": ("regressor", lambda content, header: content.update(training=None)),
    "a lost moment": ("regressor", rename("training.optimizer.0", "training.optimizer.9")),
    "a stray tensor": ("regressor", rename("training.learning_rate", "learning_rate")),
    "a lost memory": ("memory", rename("training.lbfgs.s", "training.lbfgs.t")),
    "no fields": ("regressor", lambda content, header: content.clear()),
    "the other's name": (
        "classifier",
        lambda content, header: header["__metadata__"].update(kind="regressor"),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(what, files, tmp_path):
    name, change = WRONG[what]
    with pytest.raises(cr.ModelFileError):
        changed(files, name, tmp_path / "file", change)
    changed(files, name, tmp_path / "file", lambda content, header: None)


def test_sizes_are_compared_before_memory_is_taken(files, tmp_path):
    """Of a layer of 2**33 units: 64 GiB would be more than there is."""

    def change(content, header):
        for layer in content["network"]["layers"][:1]:
            layer["out_features"] = 2**33

    with pytest.raises(cr.ModelFileError, match="must be float64 of shape"):
        changed(files, "regressor", tmp_path / "file", change)


def test_odd_texts_of_classes(files, tmp_path):
    """Numbers that are no characters would make strings that Python cannot hold."""
    header, data = take_apart(files["classifier"][1])
    begin, end = header["attributes.classes_"]["data_offsets"]
    for odd in (0x110000, 2**32 - 1):
        wrong = data[: end - 4] + odd.to_bytes(4, "little") + data[end:]
        with pytest.raises(cr.ModelFileError, match="must hold code points"):
            load(files, "classifier", tmp_path / "file", put_together(header, wrong))
    assert end - begin == 3 * 2 * 4


@pytest.mark.parametrize("name", ["classifier", "integers", "labels", "regressor", "memory"])
def test_odd_files_raise_nothing_else(name, files, tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "file"

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def check(data):
        header, kept = take_apart(files[name][1])
        change_somewhere(data.draw, header)
        try:
            model = load(files, name, path, put_together(header, kept))
        except cr.ModelFileError:
            return
        # What is taken for a file can be used.
        assert isinstance(model, MLPClassifier | MLPRegressor)
        model.predict(np.zeros((3, model.n_features_in_)))
        model.save(path)
        type(model).load(path)

    check()
