"""The format of files: what is written is read, and what is not as it was written is refused."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from bounds import same_bits
from file_bytes import ZEROS, change_somewhere, put_together, seal, take_apart
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule._files import container
from chainrule._files.model import pack_model, unpack_model

DTYPES = ["?", *(f"{kind}{n}" for kind in "iu" for n in (1, 2, 4, 8)), "f4", "f8"]


@pytest.fixture(scope="module")
def small():
    """Return the bytes of the file of a small model."""
    model = cr.MLP([2, 1], seed=3)
    model.fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0], loss="mse", epochs=2)
    return written(model)


def written(model):
    path = path_of("written")
    model.save(path)
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    path_of.folder = tmp_path_factory.mktemp("files")


def path_of(name):
    return str(path_of.folder / name)


def problem(data):
    """Return what is said about a file of these bytes; None when a model could be made of it."""
    path = path_of("changed")
    with open(path, "wb") as file:
        file.write(data)
    return problem_at(path)


def problem_at(path):
    try:
        cr.MLP.load(path)
    except cr.ModelFileError as error:
        raised = error
    else:
        return None
    assert raised.path == path
    assert str(raised) == f"{path!r} {raised.problem}"
    assert len(raised.problem) > 5
    return raised.problem


# --- damage --------------------------------------------------------------------------------------
# These files are changed in place: that takes less time than to make them anew.


def test_every_truncation_is_found(small):
    said = []
    assert problem(small) is None
    for length in reversed(range(len(small))):
        os.truncate(path_of("changed"), length)
        said.append(problem_at(path_of("changed")))
    assert len(said) == len(small)
    assert None not in said
    assert said[0] == f"is cut or damaged: it has {len(small) - 1} of {len(small)} bytes"
    assert said[-1] == "is empty"


def test_every_flipped_bit_is_found(small):
    assert problem(small) is None
    found = []
    with open(path_of("changed"), "r+b", buffering=0) as file:
        for i in range(8 * len(small)):
            byte = small[i // 8]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << i % 8]), i // 8)
            found.append(problem_at(file.name))
            os.pwrite(file.fileno(), bytes([byte]), i // 8)
    assert problem_at(path_of("changed")) is None
    assert len(found) == 8 * len(small) > 5000
    assert [i for i, said in enumerate(found) if said is None] == []
    # Within the data the file is otherwise in order.
    assert found[-1] == "is damaged: its SHA-256 is not the one that it was written with"


def test_a_byte_more_is_found(small):
    for byte in (b"\0", b" ", b"}"):
        for i in {*range(0, len(small), 20), *range(110), len(small)}:
            assert problem(small[:i] + byte + small[i:]) is not None
    assert problem(small + b"123") == "is damaged: it has 3 bytes behind its end"


def test_files_of_others_are_refused():
    others = {
        "safetensors": safetensors.numpy.save({"layers.0.weight": np.zeros((2, 1), np.float32)}),
        "pickle": pickle.dumps(cr.MLP([2, 1])),
        "text": b"in_features: 2\n" * 100,
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
    }
    for data in others.values():
        assert problem(data) == "is not a file that chainrule wrote, or is damaged"


# --- right checksums over wrong contents ---------------------------------------------------------


def changed(small, *places, value=None, data=None):
    """Return the file with another value at a place of its header, deleted when it is None."""
    header, kept = take_apart(small)
    inner = header
    for key in places[:-1]:
        inner = inner[key]
    if places and value is None:
        del inner[places[-1]]
    elif places:
        inner[places[-1]] = value
    return put_together(header, kept if data is None else data(kept))


STRINGS, CONTENT = "__metadata__", ("__metadata__", "content")
WEIGHT = "layers.0.weight"


@pytest.mark.parametrize(
    ("places", "value", "message"),
    [
        ((STRINGS, "format_version"), "3", r"by chainrule \S+ in version 3 of .* update chainrule"),
        ((STRINGS, "format_version"), "0", "format_version must be a positive number, got '0'"),
        ((STRINGS, "format_version"), "1" * 30, "format_version must be a positive number"),
        ((STRINGS, "format_version"), "\u0661", "format_version must be a positive number"),
        ((STRINGS, "format_version"), 1, "format_version must be a positive number, got 1"),
        ((STRINGS, "format"), "pt", "format must be 'chainrule', got 'pt'"),
        ((STRINGS, "format"), None, "__metadata__ must have the fields"),
        ((STRINGS, "kind"), "checkpoint", "must be of the kind 'mlp', got the kind 'checkpoint'"),
        ((STRINGS, "kind"), 3, "kind must be a text, got int"),
        ((STRINGS, "author"), "me", "__metadata__ must have the fields"),
        ((STRINGS, "content"), "[]", "JSON must be an object, got list"),
        ((STRINGS, "content"), "{", "does not hold what it should: Expecting"),
        ((STRINGS, "content"), '{"a":NaN}', "finite numbers, got NaN"),
        ((STRINGS, "content"), '{"a":1e999}', "finite numbers, got 1e999"),
        ((STRINGS, "content"), '{"a":1,"a":1}', "each key once"),
        ((STRINGS, "content"), '{"a":' + "9" * 5000 + "}", "integers of 64 bits, got 5000 digits"),
        ((STRINGS, "content"), '{"a":' + "[" * 100_000, "recursion"),
        ((WEIGHT, "dtype"), "F16", r"must have a dtype of \['BOOL'.*got 'F16'"),
        ((WEIGHT, "dtype"), ["F32"], r"got \['F32'\]"),
        ((WEIGHT, "dtype"), "F64", "of 16 bytes must be at"),
        ((WEIGHT, "dtype"), "I32", r"must be float32 of shape \(2, 1\), got int32"),
        ((WEIGHT, "shape"), [1, 2], r"must be float32 of shape \(2, 1\), got .*\(1, 2\)"),
        ((WEIGHT, "shape"), [2], r"got float32 of shape \(2,\)"),
        ((WEIGHT, "shape"), [2**62, 2**62], "bytes must be at"),
        ((WEIGHT, "shape"), [0, 2**62, 2**62], "bytes must be at"),
        ((WEIGHT, "shape"), [2, -1], "must be a list of integers >= 0, got"),
        ((WEIGHT, "shape"), [2, True], "must be a list of integers >= 0, got"),
        ((WEIGHT, "shape"), [2, 1.0], "must be a list of integers >= 0, got"),
        ((WEIGHT, "shape"), [1] * 33, "must be a list of integers >= 0, got"),
        ((WEIGHT, "shape"), {}, "must be a list of integers >= 0, got"),
        ((WEIGHT, "data_offsets"), [0, 12], r"of 8 bytes must be at \[0, 8\], got \[0, 12\]"),
        ((WEIGHT, "data_offsets"), [4, 12], r"must be at \[0, 8\], got \[4, 12\]"),
        ((WEIGHT, "data_offsets"), [0], "data_offsets of the tensor 'layers.0.weight' must be"),
        ((WEIGHT, "data_offsets"), [8, 0], r"must be at \[0, 8\], got \[8, 0\]"),
        ((WEIGHT, "offset"), 3, "'layers.0.weight' must have the fields"),
        ((WEIGHT,), [], "'layers.0.weight' must be an object, got list"),
        ((WEIGHT,), None, r"'layers.0.bias' of 4 bytes must be at \[0, 4\], got \[8, 12\]"),
        ((*CONTENT, "in_features"), 3, r"must be float32 of shape \(3, 1\), got .*\(2, 1\)"),
        ((*CONTENT, "in_features"), 0, "in_features must be an integer >= 1, got 0"),
        ((*CONTENT, "in_features"), 10**18, "must be float32 of shape"),
        ((*CONTENT, "in_features"), "2", "in_features must be an integer, got str"),
        ((*CONTENT, "seed"), -1, "seed must be an integer >= 0, got -1"),
        ((*CONTENT, "seed"), 2**64, "seed must be an integer <= "),
        (
            (*CONTENT, "dtype"),
            "float16",
            "dtype must be one of 'float32', 'float64', got 'float16'",
        ),
        ((*CONTENT, "dtype"), "float64", "'layers.0.weight' must be float64"),
        ((*CONTENT, "dtype"), {"a": 1}, "dtype must be one of 'float32', 'float64', got dict"),
        ((*CONTENT, "code"), "import os", "the model must have the fields"),
        ((*CONTENT, "layers"), [], "layers must be a list of Dense layers"),
        ((*CONTENT, "layers"), 3, "layers must be of the type tuple, got 3"),
        ((*CONTENT, "layers"), [3], "layers must be a list of Dense layers"),
        ((*CONTENT, "layers", 0, "out_features"), 2, r"of shape \(2, 2\), got"),
        ((*CONTENT, "layers", 0, "out_features"), 10**19, "out_features must be an integer <= "),
        ((*CONTENT, "layers", 0, "dropout"), 1.5, "dropout must be a finite number .* got 1.5"),
        ((*CONTENT, "layers", 0, "norm"), "group", "norm must be one of 'layer', 'batch'"),
        ((*CONTENT, "layers", 0, "norm"), "batch", "the tensor 'layers.0.scale' must be"),
        ((*CONTENT, "layers", 0, "bias"), 1, "bias must be True or False, got int 1"),
        ((*CONTENT, "layers", 0, "bias"), False, "no other tensors, got .*layers.0.bias"),
        ((*CONTENT, "layers", 0, "initializer"), "he", "initializer must be one of"),
        ((*CONTENT, "layers", 0, "initializer"), None, r"layers \(Dense\) must have the fields"),
        ((*CONTENT, "layers", 0, "type"), "os.system", "must have a type of .* got 'os.system'"),
        ((*CONTENT, "layers", 0, "type"), "Adam", r"layers \(Adam\) must have the fields"),
        ((*CONTENT, "layers", 0, "activation", "name"), "rleu", "did you mean 'relu'"),
        ((*CONTENT, "layers", 0, "activation", "parameter"), 0.5, "identity must be 0.0, got 0.5"),
        ((*CONTENT, "recipe", "loss", "type"), "Adam", r"loss \(Adam\) must have the fields"),
        ((*CONTENT, "recipe", "loss"), "mse", "loss must be of the type Loss, got 'mse'"),
        ((*CONTENT, "recipe", "optimizer"), {"type": "MSE"}, "must be of the type Optimizer"),
        ((*CONTENT, "recipe", "optimizer", "beta1"), 1.0, "beta1 must be a finite number"),
        ((*CONTENT, "recipe", "early_stopping"), {"type": "MSE"}, "of the type EarlyStopping"),
        ((*CONTENT, "recipe", "validation_fraction"), 2, "validation_fraction must be"),
        ((*CONTENT, "recipe", "clip_norm"), -1.0, "clip_norm must be a finite number > 0"),
        ((*CONTENT, "recipe", "epochs"), 0, "epochs must be an integer >= 1, got 0"),
        ((*CONTENT, "recipe", "X"), 0, "recipe must have the fields"),
        ((*CONTENT, "history", "epochs"), 3, r"'history.loss' must be float64 of shape \(3,\)"),
        ((*CONTENT, "history", "best_epoch"), 3, "best_epoch must be an integer <= 2, got 3"),
        ((*CONTENT, "history", "stop_reason"), "bored", "stop_reason must be one of"),
    ],
)
def test_wrong_fields_are_refused(places, value, message, small):
    said = problem(changed(small, *places, value=value))
    assert said is not None
    assert re.search(message, said), said


def test_holes_overlaps_and_ends_are_refused(small):
    header, data = take_apart(small)
    names = list(header)[1:]
    for name in names:
        header[name]["data_offsets"] = [0, header[name]["data_offsets"][1]]
    assert "must be at" in problem(put_together(header, data))
    assert problem(changed(small, data=lambda data: data + b"\0")).endswith(
        "the data must end with the last tensor, got 77 bytes"
    )
    assert "must end within the 75 bytes of data" in problem(
        changed(small, data=lambda data: data[:-1])
    )
    # The data in another order than the header.
    header, data = take_apart(small)
    again = {STRINGS: header[STRINGS], **{name: header[name] for name in reversed(names)}}
    assert "must be at" in problem(put_together(again, data))


def test_wrong_headers_are_refused(small):
    end = 8 + int.from_bytes(small[:8], "little")
    text = small[8:end].replace(small[35:99], ZEROS.encode())
    assert problem(seal(text, small[end:])) is None
    assert problem(seal(text.rstrip(), small[end:])) is None
    assert "Extra data" in problem(seal(text + b"x", small[end:]))
    assert "codec can't decode" in problem(seal(text + b"\xff", small[end:]))
    assert "each key once" in problem(
        seal(text.replace(b"layers.0.bias", b"layers.0.weight"), small[end:])
    )
    assert "sha256 must have 64 digits" in problem(
        seal(text.replace(ZEROS.encode(), ZEROS.encode() + b"0"), small[end:])
    )
    # A length beyond the file, with a checksum that knows of it.
    assert "header must end within the file" in problem(
        reseal(small, lambda data: (10**6).to_bytes(8, "little") + data[8:])
    )


def reseal(small, change):
    data = change(small[:35] + ZEROS.encode() + small[99:])
    return data.replace(ZEROS.encode(), hashlib.sha256(data).hexdigest().encode(), 1)


def absurd_files(small):
    """Yield files that claim or mean much."""
    yield changed(small, WEIGHT, "shape", value=[2**40, 1])
    yield changed(small, WEIGHT, "data_offsets", value=[0, 2**50])
    yield changed(small, *CONTENT, "in_features", value=2**60)
    yield changed(small, *CONTENT, "layers", 0, "out_features", value=2**40)
    yield changed(small, *CONTENT, "history", "epochs", value=2**40)
    yield (2**40).to_bytes(8, "little") + small[8:]
    yield reseal(small, lambda data: (2**63).to_bytes(8, "little") + data[8:])


def test_absurd_sizes_take_no_memory(small):
    for data in absurd_files(small):
        tracemalloc.start()
        assert problem(data) is not None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * len(data) + 2**20


def test_a_long_header_is_refused_on_both_sides(small):
    with pytest.raises(ValueError, match="metadata must fit in a header of 16777216 bytes"):
        container.write(path_of("long"), "test", {"a": "x" * 2**24}, {})
    assert "at most 16777216 bytes" in problem(
        changed(small, STRINGS, "content", value="[" * 2**24)
    )


# --- fuzz ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rich():
    model = cr.MLP(
        [2, cr.Dense(3, cr.Activation("elu", alpha=0.5), dropout=0.5, norm="batch"), 2], seed=3
    )
    model.fit(
        [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
        [0, 1, 1],
        loss=cr.CrossEntropy(0.1, class_weight=[1, 2]),
        optimizer=cr.SGD(cr.Cosine(0.1), momentum=0.5),
        epochs=2,
        validation_fraction=0.3,
        early_stopping=cr.EarlyStopping(3),
    )
    return written(model)


def check_mutant(rich, draw):
    header, data = take_apart(rich)
    for _ in range(draw(st.integers(1, 3))):
        change_somewhere(draw, header)
    file = put_together(header, data)
    said = problem(file)
    if said is None:
        # A model that differs in a field that may be anything: it is what its fields say.
        model = cr.MLP.load(path_of("changed"))
        again = unpack_model(*pack_model(model))
        assert repr(again) == repr(model)
        assert again.recipe == model.recipe
        assert same_bits(again.parameters, model.parameters)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_odd_fields_raise_nothing_else(rich, data):
    check_mutant(rich, data.draw)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=5_000, deadline=None)
def test_many_odd_fields_raise_nothing_else(rich, data):
    check_mutant(rich, data.draw)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_raise_nothing_else(small, data):
    assert problem(data) is not None
    # With a beginning that is right, and a right checksum.
    assert problem(seal(small[8:35] + ZEROS.encode() + b'"' + data, data)) is not None


# --- what is written -----------------------------------------------------------------------------


def arrays(rng):
    values = np.frombuffer(rng.bytes(8 * 24), np.uint8)
    whole = {name: values.view(f"<{name}") if name != "?" else values > 99 for name in DTYPES}
    cube = rng.normal(size=(4, 6, 8))
    return {
        **whole,
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5),
        "transposed": cube.T,
        "sliced": cube[::2, 1:5, ::3],
        "backwards": cube[::-1, :, ::-1].astype(np.float32)[:, ::-1],
        "repeated": np.broadcast_to(np.arange(3.0), (4, 3)),
        "fortran": np.asfortranarray(cube[0]),
        "big": cube.astype(">f8"),
        "big_integers": np.arange(10).astype(">i4")[::3],
        "special": np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        "misaligned": np.frombuffer(b"x" + cube.tobytes(), np.float64, offset=1, count=9),
        "a name \u00e9 \U0001f600 \ud800": np.arange(3),
    }


def test_arrays_come_back_bit_for_bit(rng, tmp_path):
    given = arrays(rng)
    container.write(tmp_path / "file", "test", {"b": [1, None, "\u00e9"], "a": 0.1}, given)
    kind, metadata, tensors = container.read(tmp_path / "file", ("other", "test"))
    assert kind == "test"
    assert metadata == {"a": 0.1, "b": [1, None, "\u00e9"]}
    assert list(tensors) == list(given)
    for name, array in given.items():
        native = array.astype(array.dtype.newbyteorder("="), order="C")
        assert same_bits(tensors[name], native), name
        assert tensors[name].flags.c_contiguous
        assert tensors[name].flags.writeable
        assert tensors[name].flags.aligned
        assert tensors[name].dtype.isnative


def test_safetensors_reads_the_same_arrays(rng, tmp_path):
    given = {name: array for name, array in arrays(rng).items() if "\ud800" not in name}
    container.write(tmp_path / "file", "test", {"a": 0.1}, given)
    tensors = safetensors.numpy.load_file(tmp_path / "file")
    assert set(tensors) == set(given)
    for name, array in given.items():
        assert same_bits(tensors[name], array.astype(array.dtype.newbyteorder("="), order="C")), (
            name
        )
    with safetensors.safe_open(tmp_path / "file", "numpy") as file:
        strings = file.metadata()
    assert strings["format"] == "chainrule"
    assert strings["format_version"] == "2"
    assert strings["kind"] == "test"
    assert strings["chainrule_version"] == cr.__version__
    assert json.loads(strings["content"]) == {"a": 0.1}


def test_the_data_is_aligned_and_the_bytes_are_the_same_each_time(rng, tmp_path):
    given = arrays(rng)
    for name in ("one", "two"):
        container.write(tmp_path / name, "test", {"b": 1, "a": {"d": 1, "c": 2}}, given)
        given = {key: array.copy() for key, array in given.items()}
    data = (tmp_path / "one").read_bytes()
    assert data == (tmp_path / "two").read_bytes()
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_an_array_that_changes_while_it_is_written(tmp_path):
    array = np.zeros(3 * 2**20)
    done = threading.Event()

    def change():
        while not done.is_set():
            array[:] += 1

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(5):
        container.write(tmp_path / "file", "test", {}, {"array": array})
        assert container.read(tmp_path / "file", "test").tensors["array"].size == array.size
    done.set()
    thread.join()


@pytest.mark.parametrize(
    ("metadata", "tensors", "error", "message"),
    [
        ({}, {"a": np.zeros(2, complex)}, TypeError, "got complex128 as 'a'"),
        ({}, {"a": np.zeros(2, np.float16)}, TypeError, "got float16 as 'a'"),
        ({}, {"a": np.array([None])}, TypeError, "got object as 'a'"),
        ({}, {"a": np.array(["x"])}, TypeError, "got <U1 as 'a'"),
        ({}, {"__metadata__": np.zeros(2)}, TypeError, "names other than '__metadata__'"),
        ({"a": np.inf}, {}, ValueError, "JSON compliant"),
        ({"a": object()}, {}, TypeError, "not JSON serializable"),
        ({"a": 10**20}, {}, ValueError, "integers of 64 bits"),
    ],
)
def test_what_cannot_be_written(metadata, tensors, error, message, tmp_path):
    with pytest.raises(error, match=message):
        container.write(tmp_path / "file", "test", metadata, tensors)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_bools(tmp_path):
    container.write(tmp_path / "file", "test", {}, {"a": np.array([True, False])})
    header, _ = take_apart((tmp_path / "file").read_bytes())
    (tmp_path / "file").write_bytes(put_together(header, b"\x01\x02"))
    with pytest.raises(cr.ModelFileError, match="the tensor 'a' must hold bools, got other bytes"):
        container.read(tmp_path / "file", "test")


def test_missing_files_are_errors_of_the_file_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        cr.MLP.load(tmp_path / "missing")
    with pytest.raises(TypeError, match=r"path must be a str or os\.PathLike, got int"):
        cr.MLP.load(3)
    with pytest.raises(TypeError, match=r"path must be a str or os\.PathLike, got NoneType"):
        cr.MLP([1, 1]).save(None)


def test_files_cost_an_import_nothing():
    code = "import sys, chainrule; print([name for name in sys.modules if '_files' in name])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
