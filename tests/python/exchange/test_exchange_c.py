"""Exported C files, compiled by a real compiler: the bits of predict at every optimization."""

import ctypes
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bounds import same_bits
from exchange_cases import ACTIVATIONS, NORMS, network, set_numbers
from exchange_compiled import (
    ALWAYS,
    COMPILERS,
    OPTIMIZATIONS,
    assert_same,
    build,
    build_together,
    inputs,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.exchange import _coefficients

pytestmark = pytest.mark.compiler

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=COMPILERS)
def compiler(request):
    return request.param


def test_there_is_a_compiler():
    assert COMPILERS


# --- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bits_of_every_layer(activation, dtype, compiler, tmp_path, rng):
    models = {f"norm_{norm}": network(activation, norm, dtype, rng) for norm in NORMS}
    built = build_together(models, tmp_path, compiler, ["-O0"])
    for model, predict in zip(models.values(), built, strict=True):
        assert_same(predict, model, inputs(rng, 200, 5, model.dtype))


@pytest.mark.parametrize("flags", OPTIMIZATIONS.values(), ids=OPTIMIZATIONS)
def test_bits_at_every_optimization(flags, dtype, compiler, tmp_path, rng):
    layers = [cr.Dense(7, name, norm=NORMS[i % 3]) for i, name in enumerate(ACTIVATIONS)]
    model = set_numbers(cr.MLP([11, *layers, 2], dtype=dtype), rng)
    assert_same(build(model, tmp_path, compiler, flags), model, inputs(rng, 400, 11, model.dtype))


@pytest.mark.parametrize("norm", NORMS)
def test_bits_of_every_variant(variant, norm, dtype, tmp_path, rng):
    # baseline rounds products twice, and so does its file.
    model = network("gelu", norm, dtype, rng)
    predict = build(model, tmp_path, COMPILERS[0], ["-O2"])
    assert_same(predict, model, inputs(rng, 200, 5, model.dtype))


def test_bits_of_standardized_inputs(variant, dtype, compiler, tmp_path, rng):
    layers = [5, cr.Standardize(), cr.Dense(17, "tanh"), 3]
    model = set_numbers(cr.MLP(layers, dtype=dtype), rng)
    x = inputs(rng, 400, 5, model.dtype)
    fitted = rng.normal(size=(100, 5)) * [1e-6, 1e3, 1, 1e6, 0] + [1, -1e3, 0, 1e7, 0.1]
    model.standardize(fitted)
    predict = build(model, tmp_path, compiler, ["-O2"])
    assert_same(predict, model, x)
    assert_same(predict, model, fitted.astype(dtype))


def test_a_file_of_baseline_has_other_bits(dtype, tmp_path, rng):
    model = network("tanh", None, dtype, rng)
    x = rng.normal(size=(100, 5)).astype(dtype)
    with cr.runtime.use_variant("baseline"):
        predict = build(model, tmp_path, COMPILERS[0], ["-O2"])
        assert_same(predict, model, x)
    fused = next(name for name in cr.runtime.variants() if name != "baseline")
    with cr.runtime.use_variant(fused):
        assert not same_bits(predict(x), model.predict(x))


def around(points, dtype, n=40):
    """Return each point and its neighbors."""
    x = np.array([0.0, *points], dtype)
    kind = f"i{x.itemsize}"
    bits = (x.view(kind)[:, None] + np.arange(-n, n + 1, dtype=kind)).ravel()
    x = np.concatenate([bits.view(dtype), -bits.view(dtype)])
    return x[np.isfinite(x)]


def one_to_one(activation, dtype):
    """Return a network that is an activation."""
    model = cr.MLP([1, cr.Dense(1, activation, bias=False)], dtype=dtype)
    model.parameters[:] = 1.0
    return model


def arguments(dtype, count):
    """Return numbers evenly over all bit patterns, and dense ones where functions change."""
    total = 2 ** (8 * np.dtype(dtype).itemsize)
    step = total // count | 1
    every = np.arange(count, dtype=np.uint64) * np.uint64(step % 2**64)
    x = every.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
    name = np.dtype(dtype).name
    numbers = {**_coefficients.COEFFICIENTS[name], **_coefficients.LIMITS[name]}
    limits = [abs(float.fromhex(text)) for text in numbers.values() if " " not in text]
    return np.concatenate([
        x[np.isfinite(x)],
        around([*limits, 1e-3, 0.5, 1.0, 2.0, np.finfo(dtype).tiny, np.finfo(dtype).max], dtype),
        np.linspace(-110, 110, count // 2).astype(dtype),
    ])  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bits_of_activations(activation, dtype, tmp_path):
    model = one_to_one(activation, dtype)
    predict = build(model, tmp_path, COMPILERS[0], ["-O2"])
    assert_same(predict, model, arguments(dtype, 20000)[:, None])


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bits_of_activations_over_a_million(activation, dtype, tmp_path):
    model = one_to_one(activation, dtype)
    predict = build(model, tmp_path, COMPILERS[0], ["-O3", "-march=native"])
    assert_same(predict, model, arguments(dtype, 1_000_000)[:, None])


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_bits_of_any_network(data, tmp_path):
    dtype = data.draw(st.sampled_from(["float32", "float64"]), "dtype")
    layer = st.builds(
        cr.Dense,
        st.integers(1, 40),
        st.sampled_from(ACTIVATIONS),
        norm=st.sampled_from(NORMS),
        bias=st.booleans(),
    )
    layers = data.draw(st.lists(layer, min_size=1, max_size=4), "layers")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    model = cr.MLP([data.draw(st.integers(1, 40), "inputs"), *layers], dtype=dtype)
    # Weights of about one size, which may be near the smallest or the largest numbers.
    limit = np.finfo(dtype).maxexp
    size = data.draw(st.sampled_from([0, 0, -4, 10, -limit // 2, -limit + 2, limit // 2]), "size")
    set_numbers(model, rng, scale=2.0**size)
    predict = build(model, tmp_path, COMPILERS[0], ["-O1"])
    assert_same(predict, model, inputs(rng, 150, model.in_features, model.dtype))


def test_bits_of_denormals_and_what_rounds_up_to_normal(dtype, tmp_path, rng):
    # Products of about the smallest normal number: half of the results are flushed, and some are
    # rounded up to it, which counts as below.
    info = np.finfo(dtype)
    model = cr.MLP([1, cr.Dense(257, bias=False)], dtype=dtype)
    for weight, x in (
        (float(info.tiny), 1.0 - 2.0 * rng.random((300, 1))),
        (float(info.tiny), 1.0 - info.epsneg * rng.integers(0, 8, (50, 1))),
        (2.0 * float(info.tiny), 0.5 - info.epsneg * rng.integers(0, 8, (50, 1)) / 2),
    ):
        factors = 1.0 - float(info.epsneg) * rng.integers(-4, 5, 257)
        model.parameters[:] = weight * factors
        predict = build(model, tmp_path, COMPILERS[0], ["-O2"])
        got = predict(x)
        assert (got == 0).any()
        if platform.machine() in ("x86_64", "AMD64"):  # AArch64 decides before it rounds
            assert_same(predict, model, x.astype(dtype))
    model.parameters[:] = info.tiny
    predict = build(model, tmp_path, COMPILERS[0], ["-O2"])
    largest_below_one = np.array([[1.0 - float(info.epsneg)]], dtype)
    assert largest_below_one * info.tiny == info.tiny  # as IEEE 754 rounds
    assert same_bits(predict(largest_below_one), np.zeros((1, 257), dtype))


@pytest.mark.parametrize("shape", [[1, 1], [1, 130, 1], [300, 1], [784, 64, 10]])
def test_bits_of_batches(shape, dtype, tmp_path, rng):
    model = set_numbers(cr.MLP(shape, dtype=dtype), rng, scale=0.1)
    predict = build(model, tmp_path, COMPILERS[0], ["-O2"])
    assert_same(predict, model, rng.normal(size=(300, shape[0])).astype(dtype))


def test_bits_after_training(tmp_path, rng):
    x = rng.normal(size=(200, 6))
    model = cr.MLP([6, 32, 16, 1], activation="silu", norm="batch", dropout=0.2, seed=1)
    model.fit(x, np.sin(x.sum(1)), loss="mse", epochs=5)
    assert_same(build(model, tmp_path, COMPILERS[0], ["-O2"]), model, x.astype("float32"))


# --- the file ------------------------------------------------------------------------------------


def run_self_test(source, folder, compiler):
    path = folder / "self_test.c"
    path.write_text(source)
    command = [compiler, *ALWAYS, "-Werror", "-O2", "-DCHAINRULE_TEST", str(path)]
    subprocess.run([*command, "-o", str(folder / "self_test"), "-lm"], check=True)
    return subprocess.run([folder / "self_test"], capture_output=True, text=True)


@pytest.mark.parametrize("norm", NORMS)
def test_the_self_test_passes_and_fails(norm, dtype, compiler, tmp_path, rng):
    model = network("gelu_tanh", norm, dtype, rng)
    source = cr.exchange.to_c(model)
    result = run_self_test(source, tmp_path, compiler)
    assert result.returncode == 0
    assert result.stdout == "0 of 40 results differ\n"

    # The sign of one weight.
    head, numbers = source.split("model_cr_weight_2[] = {\n  ")
    changed = numbers[1:] if numbers.startswith("-") else f"-{numbers}"
    result = run_self_test(f"{head}model_cr_weight_2[] = {{\n  {changed}", tmp_path, compiler)
    assert result.returncode == 1
    assert not result.stdout.startswith("0 of")


def test_the_file_needs_no_one_and_keeps_nothing(dtype, compiler, tmp_path, rng):
    source, compiled = tmp_path / "model.c", tmp_path / "model.o"
    cr.exchange.to_c(network("gelu", "layer", dtype, rng), source)
    subprocess.run([compiler, *ALWAYS, "-O2", "-c", source, "-o", compiled], check=True)
    listing = subprocess.run(["nm", compiled], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listing.splitlines()]
    undefined = {name for kind, name in symbols if kind == "U"}
    own = {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail", "memcpy", "memset"}  # the compiler's
    assert undefined - own <= {"fma", "fmaf", "sqrt", "sqrtf"}
    assert [name for kind, name in symbols if kind == "T"] == ["model_predict"]
    assert {kind for kind, _ in symbols} <= {"U", "T", "t", "r"}  # nothing that can be written


def test_inputs_that_are_not_finite(dtype, tmp_path):
    model = cr.MLP([2, 3], dtype=dtype)
    source, library = tmp_path / "model.c", tmp_path / "model.so"
    cr.exchange.to_c(model, source)
    subprocess.run([COMPILERS[0], "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
    function = ctypes.CDLL(str(library)).model_predict
    for value in (np.nan, np.inf, -np.inf):
        x, y = np.array([1.0, value], dtype), np.full(3, 7.0, dtype)
        assert function(x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p)) == 1
        assert (y == 7.0).all()


def test_fast_math_is_refused(compiler, tmp_path):
    source = tmp_path / "model.c"
    cr.exchange.to_c(cr.MLP([2, 1]), source)
    command = [compiler, "-c", "-ffast-math", str(source), "-o", str(tmp_path / "model.o")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert "fast math changes results" in result.stderr


def test_the_text_is_what_is_written(tmp_path):
    path = tmp_path / "net.c"
    text = cr.exchange.to_c(cr.MLP([2, 1]), path, name="net")
    assert path.read_text(encoding="ascii") == text
    assert f"written by chainrule {cr.__version__}" in text
    assert text == cr.exchange.to_c(cr.MLP([2, 1]), name="net")
    assert max(map(len, text.splitlines())) <= 130


# --- numbers -------------------------------------------------------------------------------------


def header_numbers(path, struct, kind):
    """Return the constants of a struct of a header: name -> numbers."""
    text = (ROOT / "cpp" / "chainrule" / "simd" / path).read_text(encoding="utf-8")
    body = text.split(f"struct {struct}<{kind}> {{", 1)[1].split("\n};", 1)[0]
    found = {}
    pattern = rf"static constexpr {kind} k(\w+)(?:\[\])? = ([^;]+);"
    for name, value in re.findall(pattern, body):
        value = re.sub(r"//.*", "", value)
        if "__builtin" not in value:
            items = value.strip("{} \n").replace("F", "").split(",")
            convert = [float.fromhex if "0x" in item else float for item in items]
            found[name] = [f(item.strip()) for f, item in zip(convert, items, strict=True)]
    return found


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "float"), ("float64", "double")])
def test_numbers_are_those_of_the_kernels(dtype, kind):
    header = header_numbers("math_coefficients.hpp", "MathConstants", kind)
    header |= header_numbers("math.hpp", "MathLimits", kind)
    shifts = header_numbers("vec.hpp", "PowerShift", kind)
    header |= {"PlainShift": shifts["Plain"], "BiasedShift": shifts["Biased"]}
    plain = {name.lower(): values for name, values in header.items()}
    ours = _coefficients.COEFFICIENTS[dtype] | _coefficients.LIMITS[dtype]
    assert len(ours) == 21
    for name, text in ours.items():
        values = [float.fromhex(part) for part in text.split()]
        assert values == plain[name.replace("_", "").lower()], name
    limits = header_numbers("math.hpp", "MathLimits", kind)
    assert np.dtype(dtype).type(_coefficients.NORM_EPSILON) == np.dtype(dtype).type(1e-5)
    assert limits["MinNormal"] == [np.finfo(dtype).tiny]


def test_numbers_of_activations_are_those_of_the_kernels():
    folder = ROOT / "cpp" / "chainrule" / "kernels"
    text = (folder / "activation-inl.hpp").read_text(encoding="utf-8")

    def constant_of(struct, name):
        body = text.split(f"struct {struct}_activation {{", 1)[1]
        return float(re.search(rf"{name} = ([\d.]+);", body).group(1))

    assert constant_of("selu", "kScale") == _coefficients.SELU_SCALE
    assert constant_of("selu", "kAlpha") == _coefficients.SELU_ALPHA
    assert constant_of("gelu_tanh", "kScale") == _coefficients.GELU_SCALE
    assert constant_of("gelu_tanh", "kCubic") == _coefficients.GELU_CUBIC


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "1st", "_net", "net-1", "net work", "né", "a\n"])
def test_a_name_that_is_no_identifier(name, tmp_path):
    with pytest.raises(ValueError, match="name must be a C identifier"):
        cr.exchange.to_c(cr.MLP([2, 1]), tmp_path / "x.c", name=name)
    assert not list(tmp_path.iterdir())


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match=r"model must be a chainrule\.MLP, got str"):
        cr.exchange.to_c("model")
    with pytest.raises(TypeError, match="name must be a C identifier, got int"):
        cr.exchange.to_c(cr.MLP([2, 1]), name=1)
    with pytest.raises(FileNotFoundError):
        cr.exchange.to_c(cr.MLP([2, 1]), tmp_path / "no" / "model.c")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(value):
    model = cr.MLP([2, 3, 1], norm="batch")
    model.biases[0][1] = value
    with pytest.raises(ValueError, match="model must have finite numbers, got others in bias of"):
        cr.exchange.to_c(model)
    model.biases[0][1] = 0
    model.running_statistics[-1] = -1.0
    with pytest.raises(ValueError, match="model must have running variances >= 0"):
        cr.exchange.to_c(model)


def test_a_parameter_that_does_not_fit():
    model = cr.MLP([2, cr.Dense(1, cr.Activation("elu", alpha=1e300))])
    with pytest.raises(ValueError, match=r"fit in float32, got Activation\('elu', alpha=1e\+300\)"):
        cr.exchange.to_c(model)
