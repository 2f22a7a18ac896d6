"""Exported C files in programs: several of them, in C and in C++, with the bits of predict."""

import ctypes
import itertools
import subprocess

import pytest
from exchange_cases import ACTIVATIONS, NORMS, network, set_numbers
from exchange_compiled import COMPILERS, OPTIMIZATIONS, assert_same, caller, inputs

import chainrule as cr

pytestmark = pytest.mark.compiler


@pytest.fixture(params=COMPILERS)
def compiler(request):
    return request.param


# How several files come into one program.
LANGUAGES = {
    "C99": ["-std=c99"],
    "C17": ["-std=c17"],
    "C++17": ["-std=c++17", "-x", "c++"],
    "GNU C++20": ["-std=gnu++20", "-x", "c++"],
}
STRICT = ["-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow"]
LIBRARIES = ["-lm", "-lstdc++"]


def varied(dtype, rng):
    """Return a network that needs every function that a file can have."""
    layers = [cr.Dense(7, name, norm=NORMS[i % 3]) for i, name in enumerate(ACTIVATIONS)]
    model = set_numbers(cr.MLP([5, cr.Standardize(), *layers, 2], dtype=dtype), rng)
    model.standardize(rng.normal(size=(50, 5)) * 3 + 1)
    return model


def three(folder, rng):
    """Write files of three models, whose names begin alike."""
    models = {
        "net": varied("float32", rng),
        "net_cr": varied("float64", rng),
        "net_cr_add": network("relu", None, "float32", rng),
    }
    for name, model in models.items():
        cr.exchange.to_c(model, folder / f"{name}.c", name=name)
    return models


def assert_library(library, models, rng):
    for name, model in models.items():
        function = getattr(ctypes.CDLL(str(library)), f"{name}_predict")
        assert_same(caller(function, model), model, inputs(rng, 100, 5, model.dtype))


@pytest.mark.parametrize("language", LANGUAGES)
def test_models_in_one_translation_unit(language, compiler, tmp_path, rng):
    models = three(tmp_path, rng)
    lines = [f'#include "{name}.c"' for name in models]
    # Once more, as declarations before and as a whole behind: guards take care of both.
    before = ["#define CHAINRULE_DECLARATIONS", *lines, "#undef CHAINRULE_DECLARATIONS"]
    (tmp_path / "all.h").write_text("\n".join([*before, *lines, *lines, ""]))
    library = tmp_path / "all.so"
    command = [compiler, *STRICT, "-Werror", "-O0", *LANGUAGES[language], "-shared", "-fPIC"]
    (tmp_path / "all.c").write_text('#include "all.h"\n')
    files = [str(tmp_path / "all.c"), "-o", str(library)]
    subprocess.run([*command, *files, *LIBRARIES], check=True)
    assert_library(library, models, rng)


@pytest.mark.parametrize("languages", [*itertools.product(("C99", "C++17"), repeat=2)])
def test_models_in_one_program(languages, compiler, tmp_path, rng):
    """The program in one language, the models in another."""
    models = three(tmp_path, rng)
    program, parts = (LANGUAGES[language] for language in languages)
    objects = []
    for name in models:
        objects.append(str(tmp_path / f"{name}.o"))
        command = [compiler, *STRICT, "-Werror", "-O0", *parts, "-fPIC", "-c"]
        subprocess.run([*command, str(tmp_path / f"{name}.c"), "-o", objects[-1]], check=True)
    includes = "".join(f'#include "{name}.c"\n' for name in models)
    features = " + ".join(f"{name}_in_features" for name in models)
    (tmp_path / "main.c").write_text(
        f"#define CHAINRULE_DECLARATIONS\n{includes}#include <stdio.h>\n"
        "int main(void) {\n"
        "  float x[5] = {1}, y[3];\n"
        "  double u[5] = {1}, v[2];\n"
        "  const int status = net_predict(x, y) + net_cr_predict(u, v);\n"
        f'  printf("%d %d\\n", status + net_cr_add_predict(x, y), {features});\n'
        "  return 0;\n"
        "}\n"
    )
    own = str(tmp_path / "main.o")
    command = [compiler, *STRICT, "-Werror", *program, "-fPIC", "-c", str(tmp_path / "main.c")]
    subprocess.run([*command, "-o", own], check=True)
    linked = str(tmp_path / "program")
    subprocess.run([compiler, own, *objects, "-o", linked, *LIBRARIES], check=True)
    told = subprocess.run([linked], capture_output=True, text=True, check=True).stdout
    assert told == "0 15\n"
    library = tmp_path / "all.so"
    subprocess.run([compiler, "-shared", *objects, "-o", library, *LIBRARIES], check=True)
    assert_library(library, models, rng)


def test_two_models_of_one_name_are_told_apart(compiler, tmp_path):
    for name, seed in (("first", 0), ("second", 1)):
        cr.exchange.to_c(cr.MLP([2, 1], seed=seed), tmp_path / f"{name}.c", name="net")
    (tmp_path / "all.c").write_text('#include "first.c"\n#include "second.c"\n')
    command = [compiler, "-c", str(tmp_path / "all.c"), "-o", str(tmp_path / "all.o")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert "two models have the name net" in result.stderr


# What optimizers do is the same as in C, where test_exchange_c.py tests more of it.
@pytest.mark.parametrize("optimization", ["O2", "native"])
def test_bits_as_cpp(optimization, dtype, compiler, tmp_path, rng):
    flags = OPTIMIZATIONS[optimization]
    model = varied(dtype, rng)
    cr.exchange.to_c(model, tmp_path / "model.cpp")
    library = tmp_path / "model.so"
    command = [compiler, "-std=c++17", *STRICT, "-Werror", *flags, "-shared", "-fPIC"]
    files = [str(tmp_path / "model.cpp"), "-o", str(library)]
    subprocess.run([*command, *files, *LIBRARIES], check=True)
    predict = caller(ctypes.CDLL(str(library)).model_predict, model)
    assert_same(predict, model, inputs(rng, 200, 5, model.dtype))
