"""C files of `chainrule export` that take a table's own values: they say what predict says."""

from __future__ import annotations

import ctypes
import itertools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from export_cases import SECONDS, TABLES, awkward, export, trained
from tables import write

from chainrule._cli import main
from chainrule._command import export_c
from chainrule._command.errors import UsageError
from chainrule._command.pipeline import Pipeline, load

pytestmark = pytest.mark.compiler

STRICT = ["-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
COMPILERS = {"C": ["gcc", "-std=c99"], "C++": ["g++", "-std=c++17", "-x", "c++"]}
FIELD = re.compile(r'^  (double |const char \*)(\w+); /\* ("(?:[^"\\]|\\.)*"): (.*) \*/$', re.M)
NUMBERS = itertools.count()

Predict = Callable[[pd.DataFrame], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("tables"))


def fields_of(source: Path) -> dict[str, tuple[str, str]]:
    """Return name and C type of the field of each column, in the order of the struct."""
    found = FIELD.findall(source.read_text(encoding="ascii"))
    return {json.loads(column): (name, kind.strip()) for kind, name, column, _ in found}


def raw_text(cell: Any) -> bytes | None:
    return None if pd.isna(cell) else str(cell).encode()


def compiled(source: Path, pipeline: Pipeline, language: str, unit: Path | None = None) -> Predict:
    """Return a function of a table: the labels, or values, and the probabilities of each row.

    `unit` is what is compiled, by default the source itself.
    """
    library = source.with_name(f"{source.stem}_{next(NUMBERS)}.so")
    command = [*COMPILERS[language], *STRICT, "-shared", "-fPIC", str(unit or source)]
    subprocess.run([*command, "-o", str(library), "-lm", "-lstdc++"], check=True)
    loaded = ctypes.CDLL(str(library))
    function = getattr(loaded, f"{source.stem}_predict_raw")
    fields = fields_of(source)
    kinds = {"double": ctypes.c_double, "const char *": ctypes.c_char_p}

    class Row(ctypes.Structure):
        _fields_ = [(name, kinds[kind]) for name, kind in fields.values()]

    n = len(pipeline.target.classes)
    if n:
        names = (ctypes.c_char_p * n).in_dll(loaded, f"{source.stem}_classes")
        assert [name.decode() for name in names] == list(pipeline.target.classes)

    def predict(frame: pd.DataFrame) -> Any:
        columns = []
        for column, (_, kind) in fields.items():
            cells = frame[column]
            if kind == "double" and pd.api.types.is_datetime64_any_dtype(cells):
                cells = (cells - pd.Timestamp(0)) / SECONDS
            columns.append(
                cells.map(raw_text).tolist() if kind != "double" else cells.astype(float).tolist()
            )
        firsts, shares = [], []
        for cells in zip(*columns, strict=True):
            row = Row(*(None if cell is pd.NA else cell for cell in cells))
            probabilities = (ctypes.c_double * max(n, 1))()
            label = ctypes.c_int(-1)
            results = [ctypes.byref(label), probabilities] if n else [probabilities]
            status = function(ctypes.byref(row), *results)
            assert status == 0, cells
            firsts.append(label.value if n else probabilities[0])
            shares.append(list(probabilities))
        return np.array(firsts), np.array(shares)

    return predict


def predicted(model: Path, rows: Path, pipeline: Pipeline) -> pd.DataFrame:
    """Return what the command predicts."""
    output = rows.with_name("out.parquet")
    more = ["--probabilities"] if pipeline.target.classes else []
    arguments = ["predict", model, rows, "--output", output, "--force", *more]
    assert main([str(argument) for argument in arguments]) == 0
    return pd.read_parquet(output)


def has_circles(pipeline: Pipeline) -> bool:
    return any(getattr(step, "circles", ()) for step in pipeline.encoding.steps.values())


def check(
    model: Path,
    frame: pd.DataFrame,
    folder: Path,
    languages: list[str],
    in_c: pd.DataFrame | None = None,
) -> Pipeline:
    """Compare with the command; to the last bit where no function of C's library comes in.

    `in_c` is what C gets of the table where it is not the same.
    """
    pipeline = load(str(model))
    rows = write(frame, folder / "rows.parquet")
    want = predicted(model, rows, pipeline)
    export(model, folder / "net.c", "--force", "--quiet")
    # A sine may be rounded to another float, which weights of the network then multiply.
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if has_circles(pipeline) else {"rtol": 1e-13}
    for language in languages:
        firsts, shares = compiled(folder / "net.c", pipeline, language)(
            frame if in_c is None else in_c
        )
        values = want[pipeline.target.name]
        if not pipeline.target.classes:
            scale = pipeline.target.scale
            if has_circles(pipeline):
                np.testing.assert_allclose(firsts, values, rtol=1e-5, atol=1e-5 * scale)
            else:
                np.testing.assert_array_equal(firsts, values)
            continue
        np.testing.assert_allclose(shares, want.iloc[:, 2:], **tolerance)
        top = np.sort(shares, axis=1)
        clear = top[:, -1] - top[:, -2] > (1e-5 if has_circles(pipeline) else 0)
        assert clear.mean() > 0.98
        names = np.array(pipeline.target.classes)[firsts]
        assert names[clear].tolist() == values[clear].astype(str).tolist()
        best = want[f"{pipeline.target.name}_probability"]
        np.testing.assert_allclose(shares[np.arange(len(firsts)), firsts], best, **tolerance)
    return pipeline


@pytest.mark.parametrize("name", TABLES)
def test_raw_values_give_what_the_command_predicts(name: str, folder: Path, tmp_path: Path) -> None:
    frame, target, _ = TABLES[name]
    frame = awkward(frame.drop(columns=target))
    check(folder / f"{name}.safetensors", frame, tmp_path, ["C", "C++"])


@pytest.mark.parametrize("language", COMPILERS)
def test_models_of_tables_in_one_translation_unit(
    language: str, folder: Path, tmp_path: Path
) -> None:
    names = ("texts", "grades", "numbers")
    for name in names:
        export(folder / f"{name}.safetensors", tmp_path / f"{name}.c", "--quiet")
    unit = tmp_path / "all.c"
    lines = [f'#include "{name}.c"' for name in names]
    unit.write_text(
        "\n".join(
            ["#define CHAINRULE_DECLARATIONS", *lines, "#undef CHAINRULE_DECLARATIONS", *lines, ""]
        )
    )
    for name in names:
        frame, target, _ = TABLES[name]
        frame = frame.drop(columns=target).head(50)
        pipeline = load(str(folder / f"{name}.safetensors"))
        together = compiled(tmp_path / f"{name}.c", pipeline, language, unit)(frame)
        alone = compiled(tmp_path / f"{name}.c", pipeline, "C")(frame)
        for got, want in zip(together, alone, strict=True):
            np.testing.assert_array_equal(got, want)


def test_dates_and_times_as_people_write_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n = 300
    seconds = rng.integers(1_500_000_000, 1_700_000_000, n).astype(float) // 60 * 60
    of_day = rng.integers(0, 1440, n) * 60.0
    made = pd.DataFrame({"day": seconds, "opened": of_day, "a": rng.normal(size=n)})
    made.loc[:5, "day"] = np.nan
    made.loc[3:9, "opened"] = np.nan
    written = made.assign(
        day=pd.to_datetime(made["day"], unit="s").dt.strftime("%d/%m/%Y %H:%M"),
        opened=pd.to_datetime(made["opened"], unit="s").dt.strftime("%H:%M"),
        y=np.sin(made["opened"].fillna(0) / 86400 * 2 * np.pi) + made["a"] + seconds / 1e8,
    )
    model = train(written, tmp_path)
    pipeline = check(model, written.drop(columns="y"), tmp_path, ["C", "C++"], in_c=made)
    assert [step.kind for step in pipeline.encoding.steps.values()] == ["date", "date", "numeric"]
    text = (tmp_path / "net.c").read_text(encoding="ascii")
    assert 'double day; /* "day": seconds since 1970-01-01 (UTC) */' in text
    assert 'double opened; /* "opened": seconds since midnight */' in text
    comment = " ".join(text.partition(" */")[0].split())
    assert '(days since midnight of "opened", or ' in comment
    assert 'sine of 2 pi * seconds since midnight of "opened" / 86400.0' in comment


def table_without_dates(n: int = 400) -> pd.DataFrame:
    """Return a table with names and texts that C has other uses for."""
    rng = np.random.default_rng(1)
    words = ["??/", 'a "quote"', "back\\slash", "/* no comment */", "a,b", "%d", "@", "line\nbreak"]
    words.append("\u00e9t\u00e9 \u96ea")
    frame = pd.DataFrame(
        {
            "class": rng.choice(words, n),
            "Class": rng.choice(["x", "y", "/*"], n),
            "3rd": rng.normal(size=n),
            "\u96ea": rng.normal(size=n),
            "double": rng.normal(size=n),
            "*/ return 1; /*": rng.normal(size=n),
            "flag": np.array(rng.random(n) < 0.5, object),
            "whole": rng.integers(0, 2, n) == 1,
        }
    )
    frame["y"] = np.where(frame["3rd"] * 2 + (frame["class"] == "%d") * 3 > 0.5, "yes /*", "no \\?")
    for name in ("class", "3rd", "flag"):
        frame.loc[rng.random(n) < 0.1, name] = None
    return frame


def train(frame: pd.DataFrame, folder: Path, *options: str) -> Path:
    path = write(frame, folder / "table.parquet")
    model = folder / "model.safetensors"
    arguments = ["train", path, "--target", "y", "--epochs", "4", "--hidden", "8"]
    arguments += ["--output", model, "--quiet", "--force", *options]
    assert main([str(argument) for argument in arguments]) == 0
    return model


def test_names_and_texts_that_c_has_other_uses_for(tmp_path: Path) -> None:
    frame = table_without_dates()
    model = train(frame, tmp_path)
    check(model, awkward(frame.drop(columns="y")), tmp_path, ["C", "C++"])
    names = {column: name for column, (name, _) in fields_of(tmp_path / "net.c").items()}
    assert names == {
        "class": "class_",
        "Class": "class_2",
        "3rd": "column_3rd",
        "\u96ea": "column_3",
        "double": "double_",
        "*/ return 1; /*": "return_1",
        "flag": "flag",
        "whole": "whole",
    }


def test_blanks_around_texts_and_marks_are_as_the_command_reads_them(tmp_path: Path) -> None:
    frame = table_without_dates()
    frame["Class"] = frame["Class"].replace("y", "?")
    model = train(frame, tmp_path, "--missing", "?", "--missing", "none given")
    rows = frame.drop(columns="y").iloc[:60].copy()
    for i, blank in enumerate(export_c._BLANKS):
        rows.loc[i, "class"] = f"{blank}{blank} %d{blank}"
    rows.loc[40:44, "Class"] = ["", " ", "?", " ? \u3000", "none given"]
    rows.loc[45:48, "Class"] = ["x", " x", "x x", "??"]
    rows.loc[49, "Class"] = None
    check(model, rows, tmp_path, ["C"])
    blanks = {chr(i) for i in range(0x110000) if chr(i).isspace()}
    assert set(export_c._BLANKS) == blanks


def test_regression_without_dates_has_every_bit(tmp_path: Path) -> None:
    frame = table_without_dates()
    frame["y"] = frame["3rd"].fillna(1.5) * 1e3 + (frame["Class"] == "x") * 7.25
    check(train(frame, tmp_path), awkward(frame.drop(columns="y")), tmp_path, ["C", "C++"])


def test_many_classes_and_wide_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(600, 40)), columns=[f"v {i}" for i in range(40)])
    frame["v 3"] *= 1e100
    frame["y"] = rng.integers(0, 12, 600)
    check(train(frame, tmp_path), awkward(frame.drop(columns="y")), tmp_path, ["C"])


def test_what_is_neither_true_nor_false_is_refused(tmp_path: Path) -> None:
    model = train(table_without_dates(), tmp_path)
    pipeline = load(str(model))
    export(model, tmp_path / "net.c", "--quiet")
    compiled(tmp_path / "net.c", pipeline, "C")
    fields = fields_of(tmp_path / "net.c")
    program = tmp_path / "program.c"
    sets = "".join(
        f"  row.{name} = {'NULL' if kind != 'double' else '1'};\n" for name, kind in fields.values()
    )
    program.write_text(
        '#include "net.c"\n#include <stdio.h>\n'
        "int main(void) {\n  net_row row;\n  int label = 7, i;\n  double p[2] = {5, 5};\n"
        f"  const double values[] = {{0.5, 2, INFINITY}};\n{sets}"
        "  for (i = 0; i < 3; ++i) {\n    row.flag = values[i];\n"
        '    printf("%d %d %g\\n", net_predict_raw(&row, &label, p), label, p[0]);\n  }\n'
        '  row.flag = NAN;\n  printf("%d\\n", net_predict_raw(&row, &label, p));\n'
        "  return 0;\n}\n"
    )
    for command in COMPILERS.values():
        subprocess.run([*command, *STRICT, program, "-o", tmp_path / "p", "-lm"], check=True)
        told = subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=True).stdout
        assert told == "1 7 5\n1 7 5\n1 7 5\n0\n"
    # As the command does.
    rows = table_without_dates().drop(columns="y").iloc[:3]
    rows["flag"] = [0.5, 1.0, 0.0]
    path = write(rows, tmp_path / "rows.parquet")
    assert main(["predict", str(model), str(path)]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\0b", "column 'class' holds 'a\\x00b': a string in C ends at a character of code 0"),
        ("long" * 1024, "column 'class' holds a text of 4,096 bytes, 'longlong"),
    ],
)
def test_texts_that_c_cannot_hold_are_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = table_without_dates()
    frame["class"] = frame["class"].replace("%d", text)
    model = train(frame, tmp_path)
    capsys.readouterr()
    assert main(["export", str(model), str(tmp_path / "net.c")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "net.c").exists()


def test_what_c_files_do_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"column 'a' holds '.*', which is no Unicode"):
        export_c._string("\ud800", "column 'a'")

    class OtherStep:
        width = 1

    pipeline = load(str(folder / "times.safetensors"))
    pipeline.encoding.steps["when"] = OtherStep()  # type: ignore[assignment]
    with pytest.raises(UsageError, match="column 'when' is of a kind that C files do not have"):
        export_c.raw_values(pipeline, "net")


def test_the_self_test_takes_raw_values(folder: Path, tmp_path: Path) -> None:
    """It passes, and fails where a step is another one."""
    source = tmp_path / "net.c"
    export(folder / "times.safetensors", source, "--quiet")
    text = source.read_text(encoding="ascii")
    head, rest = text.split("net_cr_number(row->chainrule_x, ")
    fill, mean, others = rest.split(", ", 2)
    changed = f"{head}net_cr_number(row->chainrule_x, {fill}, 9{mean}, {others}"
    for content, status in ((text, 0), (changed.replace("90x", "0x9"), 1)):
        source.write_text(content, encoding="ascii")
        for command in COMPILERS.values():
            whole = [*command, *STRICT, "-DCHAINRULE_TEST", str(source), "-o", str(tmp_path / "p")]
            subprocess.run([*whole, "-lm"], check=True)
            result = subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=False)
            assert result.returncode == status, result.stdout
            assert result.stdout.startswith("0 of 24") == (status == 0)
