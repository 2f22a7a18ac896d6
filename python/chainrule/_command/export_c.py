"""C files of `chainrule export` for a table's model: values as they stand in the table go in.

Each column is a field of a struct. Its step is written with the operations of `encoding.py` in the
same order, in double precision, so that the network gets the same bits.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

import numpy as np

from chainrule._command.encoding import (
    DAY,
    LIMIT,
    PERIODS,
    CategoryStep,
    DateStep,
    NumberStep,
    Step,
)
from chainrule._command.errors import UsageError, quoted
from chainrule._command.exportable import name_text, origin_text
from chainrule._command.pipeline import Pipeline, probabilities
from chainrule._command.source import Column
from chainrule._command.target import Target
from chainrule.exchange._c import Extras
from chainrule.exchange._c_functions import number_text, prefix_of

__all__ = ["raw_signature", "raw_values"]

# What is no name of a field: words of C and C++, and macros in lower case of compilers and headers.
_RESERVED = frozenset(
    {
        *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else"),
        *("enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register"),
        *("restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch"),
        *("typedef", "union", "unsigned", "void", "volatile", "while", "alignas", "alignof", "and"),
        *("and_eq", "asm", "atomic_cancel", "atomic_commit", "atomic_noexcept", "bitand", "bitor"),
        *("bool", "catch", "char8_t", "char16_t", "char32_t", "class", "co_await", "co_return"),
        *("co_yield", "compl", "concept", "const_cast", "consteval", "constexpr", "constinit"),
        *("decltype", "delete", "dynamic_cast", "explicit", "export", "false", "friend", "mutable"),
        *("namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or", "or_eq"),
        *("private", "protected", "public", "reflexpr", "reinterpret_cast", "requires"),
        *("static_assert", "static_cast", "synchronized", "template", "this", "thread_local"),
        *("throw", "true", "try", "typeid", "typename", "typeof", "typeof_unqual", "using"),
        *("virtual", "wchar_t", "xor", "xor_eq", "complex", "imaginary", "noreturn", "errno"),
        *("stdin", "stdout", "stderr", "unix", "linux", "i386", "near", "far", "interface"),
        *("small", "hyper", "environ", "assert", "offsetof", "signbit", "isnan", "isinf"),
        *keyword.kwlist,  # for bindings in Python
    }
)
_LONGEST_TEXT = 4095  # of a string in C99
_TEST_ROWS = 8

# What Python's strip() takes away.
_BLANKS = (
    *"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000",
    *(chr(0x2000 + i) for i in range(11)),
)

_FUNCTIONS = """\
/* Neither NaN nor infinite. */
static int @known(double value) { return value >= -DBL_MAX && value <= DBL_MAX; }
"""
_NUMBER = """\
/* A number, or what stands for a missing one, standardized and clipped. */
static float @number(double value, double fill, double mean, double scale) {
  double z = @known(value) ? value : fill;
  z -= mean;
  z /= scale;
  if (z > @LIMIT) z = @LIMIT;
  if (z < -@LIMIT) z = -@LIMIT;
  return (float)z;
}
"""
_CATEGORY = """\
/* The place of a text among those of a column, without the blanks around it; else `others`. Texts
   that are NULL stand for missing values. */
static int @place(const char *text, const char *const *texts, int count, int missing, int others) {
  size_t n = text ? strlen(text) : 0, i = 0;
  int place;
  while (n > 0 && i < sizeof @blanks / sizeof @blanks[0]) {
    const char *blank = @blanks[i];
    const size_t m = strlen(blank);
    ++i;
    if (m <= n && memcmp(text, blank, m) == 0) {
      text += m;
      n -= m;
      i = 0;
    } else if (m <= n && memcmp(text + n - m, blank, m) == 0) {
      n -= m;
      i = 0;
    }
  }
  if (n == 0) return missing;
@MARKS@  for (place = 0; place < count; ++place) {
    if (@same(text, n, texts[place])) return place;
  }
  return others;
}
"""
_SAME = """\
static int @same(const char *text, size_t n, const char *other) {
  return other && strlen(other) == n && memcmp(text, other, n) == 0;
}
"""
_MARKS = """\
  for (i = 0; i < sizeof @marks / sizeof @marks[0]; ++i) {
    if (@same(text, n, @marks[i])) return missing;
  }
"""
_SOFTMAX = """\
  *label = 0;
  for (j = 1; j < @OUTPUTS; ++j) {
    /* As NumPy's argmax: the first of the largest, or of those that are NaN. */
    if (y[*label] == y[*label] && !(y[j] <= y[*label])) *label = j;
  }
  for (j = 0; j < @OUTPUTS; ++j) {
    probabilities[j] = exp((double)y[j] - (double)y[*label]);
    sum += probabilities[j];
  }
  for (j = 0; j < @OUTPUTS; ++j) probabilities[j] /= sum;
  return 0;
}
"""


def raw_signature(pipeline: Pipeline, name: str) -> str:
    """Return the declaration of the function."""
    result = "int *label, double *probabilities" if pipeline.target.classes else "double *value"
    return f"int {name}_predict_raw(const {name}_row *row, {result});"


def raw_values(pipeline: Pipeline, name: str) -> Extras:
    """Return what is added to a network's file, so that it takes values of a table.

    Raises
    ------
    UsageError
        For a text that a string in C cannot hold, or a column of another kind.
    """
    for column, step in pipeline.encoding.steps.items():
        if not isinstance(step, NumberStep | CategoryStep | DateStep):
            raise UsageError(f"column {quoted(column)} is of a kind that C files do not have")
    fields = _field_names(list(pipeline.encoding.steps))
    own = prefix_of(name)
    return Extras(
        comment=_comment(pipeline, name),
        declarations=_declarations(pipeline, name, fields),
        definitions=_definitions(pipeline, name, fields).replace("@", own),
        test=_test(pipeline, name, fields).replace("@", own),
    )


# --- names and texts -----------------------------------------------------------------------------


def _field_names(columns: Sequence[str]) -> dict[str, str]:
    """Return a name in C for each column, in lower case, as macros in headers mostly are not."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for i, column in enumerate(columns):
        stem = re.sub("[^a-z0-9]+", "_", column.lower()).strip("_") or f"column_{i}"
        if not stem[0].isalpha():
            stem = f"column_{stem}"
        if stem in _RESERVED:
            stem += "_"
        found, n = stem, 2
        while found in taken:
            found, n = f"{stem.rstrip('_')}_{n}", n + 1
        taken.add(found)
        names[column] = found
    return names


def _string(text: str, of: str) -> str:
    """Return a string literal in UTF-8 that is ASCII, without trigraphs."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{of} holds {quoted(text)}, which is no Unicode") from None
    if b"\0" in data:
        raise UsageError(f"{of} holds {quoted(text)}: a string in C ends at a character of code 0")
    if len(data) > _LONGEST_TEXT:
        raise UsageError(
            f"{of} holds a text of {len(data):,} bytes, {quoted(text[:40])}...: a string in C99 "
            f"has at most {_LONGEST_TEXT:,}"
        )
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?@' else f"\\{b:03o}" for b in data)
    return f'"{"".join(plain)}"'


def _strings(texts: Sequence[str | None], of: str) -> str:
    return ",\n  ".join("NULL" if text is None else _string(text, of) for text in texts)


def _double(value: float) -> str:
    return number_text(value, "float64")


def _whole(step: Step) -> str:
    """Say what a field of the struct holds."""
    if isinstance(step, CategoryStep):
        return "text in UTF-8"
    if isinstance(step, DateStep):
        return f"seconds since {origin_text(step)}"
    return "1 if true, 0 if false" if step.kind == "boolean" else "number"


# --- parts of the file ---------------------------------------------------------------------------


def _comment(pipeline: Pipeline, name: str) -> str:
    target = pipeline.target
    if target.classes:
        what = f"""\
   predicts the class of a row, given as its place in {name}_classes, and the probabilities of all
   {name}_n_classes of them, as chainrule predict does"""
    else:
        what = f"""\
   predicts {name_text(target.name)} of a row, in its own units, as chainrule predict does"""
    marks = " or ".join(["NULL", *map(name_text, ("", *pipeline.missing))])
    return f"""\
   Of the values of a table,

     {raw_signature(pipeline, name)}

{what}, and returns 0. The fields of
   {name}_row are the columns, in their order. Missing are NaN and infinite numbers, and the texts
   {marks}; set every field, for zero bytes are the number 0. Blanks around a text do not
   count, and one that training never saw goes with the rare ones. Words such as NA, which are
   missing in CSV, are texts, as in Parquet. When a field of true and false is neither 1, 0 nor
   missing, it returns 1 and leaves the rest as it is. The network gets the bits that it gets in
   chainrule predict, except of sines and cosines of dates, which are C's own and may differ in the
   last place; so may exp, of which probabilities are made."""


def _declarations(pipeline: Pipeline, name: str, fields: dict[str, str]) -> str:
    lines = ["", "/* A row of the table. */", "typedef struct {"]
    for column, step in pipeline.encoding.steps.items():
        kind = "const char *" if isinstance(step, CategoryStep) else "double "
        lines.append(f"  {kind}{fields[column]}; /* {name_text(column)}: {_whole(step)} */")
    lines += [f"}} {name}_row;", "", raw_signature(pipeline, name)]
    if pipeline.target.classes:
        lines += [
            "",
            f"#define {name}_n_classes {len(pipeline.target.classes)}",
            f"extern const char *const {name}_classes[{name}_n_classes];",
        ]
    return "\n".join(lines)


def _definitions(pipeline: Pipeline, name: str, fields: dict[str, str]) -> str:
    target = pipeline.target
    steps = pipeline.encoding.steps
    texts, calls, checks = [], [], []
    for i, (column, part) in enumerate(pipeline.encoding.slices().items()):
        step, field = steps[column], f"row->{fields[column]}"
        if isinstance(step, CategoryStep):
            items = _strings(step.frequent, f"column {quoted(column)}")
            texts.append(f"static const char *const @texts_{i}[] = {{\n  {items}}};\n")
            calls += _category(step, field, part.start, i)
        elif isinstance(step, NumberStep):
            calls += _number(step, field, part.start)
            if step.kind == "boolean":
                checks.append(
                    f"  if ({field} == {field} && {field} != 0 && {field} != 1) return 1;"
                )
        else:
            calls += _date(step, field, part.start)
    functions = [_FUNCTIONS] if any(not isinstance(s, CategoryStep) for s in steps.values()) else []
    if any("@number(" in call for call in calls):
        functions += [f"#define @LIMIT {_double(LIMIT)}", _NUMBER]
    if texts:
        blanks = _strings(_BLANKS, "")
        functions.append(f"static const char *const @blanks[] = {{\n  {blanks}}};\n")
        if pipeline.missing:
            marks = _strings(pipeline.missing, "--missing")
            functions.append(f"static const char *const @marks[] = {{\n  {marks}}};\n")
        functions += [_SAME, _CATEGORY.replace("@MARKS@", _MARKS if pipeline.missing else "")]
    signature = raw_signature(pipeline, name)[:-1]
    lines = [
        f"{signature} {{",
        f"  @real x[{pipeline.encoding.width}] = {{0}}, y[{target.n_outputs}];",
        *(["  int place;"] if texts else []),
        *(["  int j;", "  double sum = 0;"] if target.classes else ["  double scaled;"]),
        *checks,
        *calls,
        f"  if ({name}_predict(x, y) != 0) return 1;",
    ]
    ending = _SOFTMAX if target.classes else _value(target)
    classes = ""
    if target.classes:
        items = _strings(target.classes, f"target {quoted(target.name)}")
        classes = f"const char *const {name}_classes[{name}_n_classes] = {{\n  {items}}};\n"
        ending = ending.replace("@OUTPUTS", f"{name}_n_classes")
    return "\n".join([*functions, *texts, classes, "\n".join(lines), ending])


def _value(target: Target) -> str:
    return f"""\
  scaled = (double)y[0] * {_double(target.scale)};
  *value = scaled + {_double(target.mean)};
  return 0;
}}
"""


def _number(step: NumberStep, value: str, start: int) -> list[str]:
    numbers = ", ".join(map(_double, (step.fill, step.mean, step.scale)))
    lines = [f"  x[{start}] = @number({value}, {numbers});"]
    if step.has_indicator:
        lines.append(f"  x[{start + 1}] = @known({value}) ? 0 : 1;")
    return lines


def _category(step: CategoryStep, text: str, start: int, index: int) -> list[str]:
    n = len(step.frequent)
    others = n if step.rare else -1
    missing = step.frequent.index(None) if None in step.frequent else others
    return [
        f"  place = @place({text}, @texts_{index}, {n}, {missing}, {others});",
        f"  if (place >= 0) x[{start} + place] = 1;",
    ]


def _date(step: DateStep, seconds: str, start: int) -> list[str]:
    lines = []
    if step.trend is not None:
        lines += _number(step.trend, f"{seconds} / {_double(DAY)}", start)
        start += step.trend.width
    for circle in step.circles:
        angle = f"{seconds} * {_double(2 * np.pi / PERIODS[circle])}"
        for function in ("sin", "cos"):
            lines.append(
                f"  x[{start}] = @known({seconds}) ? (float){function}({angle}) : (float)0;"
            )
            start += 1
    return lines


# --- test vectors --------------------------------------------------------------------------------


def _test(pipeline: Pipeline, name: str, fields: dict[str, str]) -> str:
    """Return a function that counts the rows whose predictions are others than here."""
    columns, values = {}, {}
    rng = np.random.default_rng(0)
    for column, step in pipeline.encoding.steps.items():
        columns[column], values[column] = _examples(step, rng, f"column {quoted(column)}")
    outputs = pipeline.outputs(columns, _TEST_ROWS, 1)
    target = pipeline.target
    lines = [
        f"static int @test_raw(void) {{\n  {name}_row row;",
        "  int wrong = 0;",
    ]
    if target.classes:
        lines.append(f"  int label;\n  double got[{name}_n_classes];")
    else:
        lines.append("  double got;")
    shares = probabilities(outputs) if target.classes else outputs
    for i in range(_TEST_ROWS):
        lines += [f"  row.{field} = {values[column][i]};" for column, field in fields.items()]
        if target.classes:
            top = int(outputs[i].argmax())
            lines += [
                f"  if ({name}_predict_raw(&row, &label, got) != 0) ++wrong;",
                f"  if (!(fabs(got[{top}] - {_double(shares[i, top])}) <= 1e-4)) ++wrong;",
            ]
        else:
            want = float(target.values(outputs[i : i + 1])[0])
            bound = 1e-4 * (abs(want) + target.scale)
            lines += [
                f"  if ({name}_predict_raw(&row, &got) != 0) ++wrong;",
                f"  if (!(fabs(got - {_double(want)}) <= {_double(bound)})) ++wrong;",
            ]
    return "\n".join([*lines, "  return wrong;", "}", ""])


def _examples(step: Step, rng: np.random.Generator, of: str) -> tuple[Column, list[str]]:
    """Return values of a column, a missing one among them, and how C writes them."""
    if isinstance(step, CategoryStep):
        known = [text for text in (*step.frequent, *step.rare) if text is not None]
        chosen = [known[i] for i in rng.integers(0, len(known), _TEST_ROWS)]
        names = sorted(set(chosen))
        codes = np.array([names.index(text) for text in chosen], np.int32)
        codes[1] = -1
        texts = [*(_string(text, of) for text in chosen)]
        texts[1] = "NULL"
        return Column("categorical", codes, names), texts
    if step.kind == "boolean":
        values = rng.integers(0, 2, _TEST_ROWS).astype(np.float64)
    elif isinstance(step, NumberStep):
        values = step.mean + step.scale * rng.normal(size=_TEST_ROWS)
    else:
        values = rng.integers(0, 2**31, _TEST_ROWS).astype(np.float64)
    values[1] = np.nan
    texts = ["NAN" if np.isnan(value) else _double(float(value)) for value in values]
    return Column(step.kind, values), texts
