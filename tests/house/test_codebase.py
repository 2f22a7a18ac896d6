"""The house itself: layers, file lengths, versions, the stub, and what the documentation owes.

What each variant's object file exports is checked where it is built: tests/cpp.
"""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

import chainrule as cr
from chainrule import _core, estimators
from chainrule._losses import LOSSES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "chainrule"
CPP = ROOT / "cpp"
# An arrow only points down: from a layer to those before it.
LAYERS = ["base", "simd", "kernels", "ops", "layers", "network", "training", "bindings"]
SOURCES = sorted(
    path
    for folder in ("cpp", "python", "tests", "benchmarks", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".pyi", ".cpp", ".hpp", ".inc")
)


def relative(path):
    return str(path.relative_to(ROOT))


# --- layout --------------------------------------------------------------------------------------


def test_the_sources_are_found():
    folders = {relative(path).split("/")[0] for path in SOURCES}
    assert folders == {"cpp", "python", "tests", "benchmarks", "docs"}
    assert len(SOURCES) > 80


def lines_without_docstrings(path):
    """Return how many lines a file has; what documents Python costs nothing."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if path.suffix != ".py":
        return lines
    for node in ast.walk(ast.parse(text)):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_file_is_long(path):
    assert lines_without_docstrings(path) <= 500


def layer_of(path):
    parts = path.relative_to(CPP).parts
    return parts[1] if parts[0] == "chainrule" else parts[0]


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.is_relative_to(CPP) and p.suffix != ".inc"], ids=relative
)
def test_includes_point_down(path):
    layer = layer_of(path)
    assert layer in LAYERS
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r'^\s*#\s*include "([^"]+)"', text, flags=re.MULTILINE):
        folder, slash, _ = target.partition("/")
        if not slash:
            continue  # beside the file, or made by CMake
        assert folder in allowed, f"{layer} includes {target}"
        assert (CPP / "chainrule" / target).exists(), target
    if layer != "bindings":
        assert "pybind11" not in text
        assert "Python.h" not in text


ABOVE_THE_KERNELS = LAYERS[LAYERS.index("kernels") + 1 :]


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.is_relative_to(CPP) and layer_of(p) in ABOVE_THE_KERNELS],
    ids=relative,
)
def test_no_layer_above_the_kernels_names_a_loss_or_an_optimizer(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"\b(?:Loss|Optimizer|Link)::(?!k[A-Z])\w+", text) == []
    names = {*_core.losses(), *_core.optimizers()}
    assert names & set(re.findall(r'"(\w+)"', text)) == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=relative)
def test_python_asks_for_the_type_of_no_loss(path):
    losses = {cls.__name__ for cls in LOSSES.values()}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = set(re.findall(r"\w+", ast.unparse(node.args[1])))
            assert losses & asked == set(), ast.unparse(node)


def imports_of(path):
    """Return the modules of the package that a module imports when it is itself imported."""
    module = ["chainrule", *path.relative_to(PACKAGE).with_suffix("").parts]
    package = module[:-1]
    if module[-1] == "__init__":
        module = package
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        base = [*base, *(node.module or "").split(".")] if node.module else base
        for alias in node.names:
            found.add(".".join([*base, alias.name]))
            found.add(".".join(base))
    return ".".join(module), {name for name in found if name.startswith("chainrule.")}


def test_python_modules_import_no_one_in_a_circle():
    graph = dict(imports_of(path) for path in PACKAGE.rglob("*.py"))
    assert len(graph) > 25
    done = set()

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail, name])
        if name in done or name not in graph:
            return
        for target in graph[name]:
            if target != name:
                visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        if name != "chainrule":
            visit(name, ())


# --- versions ------------------------------------------------------------------------------------


def test_versions_agree():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    version = re.search(r"project\(\s*chainrule\s+VERSION ([0-9.]+)", text).group(1)
    assert cr.__version__ == _core.__version__ == version
    assert cr.runtime.build_config()["version"] == version
    assert importlib.metadata.version("chainrule") == version


def test_the_oldest_packages_are_tested():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = dict(re.findall(r"^(\w+) = \[\n(.*?)^\]", text, flags=re.MULTILINE | re.DOTALL))
    tested = [extras[name] for name in ("progress", "cli", "estimators", "onnx", "test")]
    tested += re.findall(r"^dependencies = .*", text, flags=re.MULTILINE)
    bounds = set(re.findall(r'"([\w-]+)>=([\d.]+)', "".join(tested)))
    assert len(bounds) > 15
    pins = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8")
    for name, bound in bounds:
        assert re.search(rf"^{name}=={re.escape(bound)}(\.\d+)*$", pins, flags=re.MULTILINE), name


# --- the stub ------------------------------------------------------------------------------------

STUB = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
# Classes of the stub that are for type checkers alone: dictionaries and common bases.
ONLY_IN_STUB = {"ActivationInfo", "LossInfo", "ParameterBlock", "_Network", "_Trainer"}


def stub_classes():
    return {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def members(node):
    """Return the methods (name -> argument names) and the properties of a class in the stub."""
    methods, properties = {}, set()
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in stub_classes():
            more_methods, more_properties = members(stub_classes()[base.id])
            methods |= more_methods
            properties |= more_properties
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            properties.add(item.target.id)
        elif isinstance(item, ast.FunctionDef):
            if any(isinstance(d, ast.Name) and d.id == "property" for d in item.decorator_list):
                properties.add(item.name)
            else:
                methods[item.name] = [argument.arg for argument in item.args.args][1:]
    return methods, properties


def compiled_arguments(function):
    """Return the argument names of each overload, read from what pybind11 writes down."""
    signatures = re.findall(
        rf"^(?:\d+\. )?{function.__name__}\((.*)\) -> ", function.__doc__, flags=re.MULTILINE
    )
    signatures = [s for s in signatures if not s.startswith("*args")]
    assert signatures, function.__doc__
    overloads = []
    for signature in signatures:
        while re.search(r"\[[^\[\]]*\]", signature):  # types may hold commas
            signature = re.sub(r"\[[^\[\]]*\]", "", signature)
        names = [part.split(":")[0].strip() for part in signature.split(",") if ":" in part]
        overloads.append([name for name in names if name != "self"])
    return overloads


def public(names):
    return {name for name in names if not name.startswith("_") or name == "__version__"}


def test_the_stub_names_what_the_module_has():
    functions = {node.name for node in STUB.body if isinstance(node, ast.FunctionDef)}
    variables = {
        node.target.id
        for node in STUB.body
        if isinstance(node, ast.AnnAssign)
        and not (isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias")
    }
    assert functions | variables | set(stub_classes()) - ONLY_IN_STUB == public(dir(_core))


@pytest.mark.parametrize(
    "node", [n for n in STUB.body if isinstance(n, ast.FunctionDef)], ids=lambda n: n.name
)
def test_functions_are_as_in_the_stub(node):
    want = [argument.arg for argument in node.args.args]
    for got in compiled_arguments(getattr(_core, node.name)):
        assert got == want


@pytest.mark.parametrize("name", sorted(set(stub_classes()) - ONLY_IN_STUB))
def test_classes_are_as_in_the_stub(name):
    methods, properties = members(stub_classes()[name])
    compiled = getattr(_core, name)
    assert set(methods) - {"__init__"} | properties == public(dir(compiled))
    for method, want in methods.items():
        for got in compiled_arguments(getattr(compiled, method)):
            assert got == want, method
    for field in properties:
        assert isinstance(getattr(compiled, field), property), field


@pytest.mark.parametrize(
    ("class_name", "call"), [("ActivationInfo", _core.activations), ("LossInfo", _core.losses)]
)
def test_dictionaries_are_as_in_the_stub(class_name, call):
    _, fields = members(stub_classes()[class_name])
    for row in call().values():
        assert set(row) == fields


# --- documentation -------------------------------------------------------------------------------


def public_objects():
    """Yield every public function, class, method and property with its name."""
    for module in (cr, cr.exchange, cr.kernels, cr.runtime, estimators):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.ismodule(thing) or isinstance(thing, str):
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for base in thing.__mro__:
                    if not base.__module__.startswith("chainrule"):
                        continue
                    for attribute, value in vars(base).items():
                        if not attribute.startswith("_") and (
                            callable(value) or isinstance(value, property)
                        ):
                            yield f"{module.__name__}.{name}.{attribute}", value


# What the package itself asks of layers, losses, optimizers and schedules: one line says it.
INTERNAL = {
    *("spec", "resolved", "n_parameters", "schedule"),
    *("n_targets", "targets", "terms", "row_weights", "score"),
}
DOCUMENTED = {
    name: thing for name, thing in public_objects() if name.split(".")[-1] not in INTERNAL
}


def test_all_is_sorted_and_complete():
    for module in (cr, cr.exchange, cr.runtime, estimators):
        names = module.__all__
        assert len(set(names)) == len(names)
        defined = {
            name
            for name, thing in vars(module).items()
            if not name.startswith("_")
            and getattr(thing, "__module__", "").startswith("chainrule")
            and not inspect.ismodule(thing)
        }
        assert defined <= set(names), defined - set(names)
    for name in _core.activations():
        assert {f"{name}_forward", f"{name}_backward"} <= set(cr.kernels.__all__)
    assert set(_core.losses()) | set(_core.math_functions()) <= set(cr.kernels.__all__)
    assert len(DOCUMENTED) > 100


def sections(doc):
    return set(re.findall(r"^([A-Z][a-z]+)\n-{3,}$", inspect.cleandoc(doc), flags=re.MULTILINE))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_names_are_documented(name):
    thing = DOCUMENTED[name]
    doc = thing.__doc__
    assert doc, name
    assert doc.strip().splitlines()[0].rstrip().endswith(".")
    if isinstance(thing, property) or inspect.isclass(thing):
        return
    signature = inspect.signature(thing)
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    if parameters:
        assert "Parameters" in sections(doc)
        listed = doc.split("Parameters", 1)[1]
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY and "**" in listed:
                continue  # those of a dataclass, which the text names
            assert re.search(rf"\b{parameter.name}\b", listed), parameter.name
    if signature.return_annotation not in ("None", None, inspect.Signature.empty):
        assert sections(doc) & {"Returns", "Yields"}


def with_parameters(thing):
    return [
        name
        for name, p in inspect.signature(thing).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


@pytest.mark.parametrize(
    "name", [n for n, t in DOCUMENTED.items() if inspect.isclass(t) and n.startswith("chainrule.")]
)
def test_parameters_and_attributes_of_classes_are_documented(name):
    thing = DOCUMENTED[name]
    doc = " ".join(base.__doc__ or "" for base in thing.__mro__ if "chainrule" in base.__module__)
    for parameter in with_parameters(thing):
        assert re.search(rf"\b{parameter}\b", doc), parameter
