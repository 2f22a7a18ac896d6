"""What the library and its pages tell to install: names that pip finds, in the versions needed."""

import ast
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from chainrule import _errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "python" / "chainrule").rglob("*.py"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
REQUIREMENTS = {
    canonicalize_name(requirement.name): requirement
    for extra in EXTRAS.values()
    for requirement in map(Requirement, extra)
    if requirement.name != "chainrule"
}


def packages_of(call):
    """Return the packages that a call of `not_installed`, `pip_install` or `require` names."""
    name = getattr(call.func, "id", "").lstrip("_")
    if name not in ("not_installed", "pip_install", "require"):
        return []
    arguments = call.args[0 if name == "pip_install" else 1 :]
    texts = [n.value for a in arguments for n in ast.walk(a) if isinstance(n, ast.Constant)]
    return ["scikit-learn" if text == "sklearn" else text for text in texts]


HINTED = sorted(
    {
        package
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for package in packages_of(node)
    }
)


def test_the_hints_are_found():
    assert set(HINTED) >= {"matplotlib", "onnx", "pandas", "scikit-learn", "skl2onnx", "torch"}
    assert set(HINTED) >= {"pyarrow", "tomli", "tqdm"}


@pytest.mark.parametrize("package", HINTED)
def test_a_hint_names_a_package_of_an_extra_with_its_version(package):
    wanted = REQUIREMENTS[canonicalize_name(package)]
    words = shlex.split(_errors.pip_install([package]))
    assert words[:2] == ["pip", "install"]
    (hint,) = map(Requirement, words[2:])
    assert (hint.name, hint.specifier) == (wanted.name, wanted.specifier)


def test_several_packages_are_one_sentence_and_one_command():
    tqdm, onnx = REQUIREMENTS["tqdm"].specifier, REQUIREMENTS["onnx"].specifier
    assert _errors.not_installed("it", "tqdm", "onnx") == (
        f'it needs tqdm and onnx, which are not installed: pip install "tqdm{tqdm}" "onnx{onnx}"'
    )


def test_without_metadata_the_hint_names_the_package_alone(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    assert _errors.pip_install(["tqdm"]) == 'pip install "tqdm"'


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda path: path.name)
def test_nothing_asks_an_index_for_chainrule(path):
    # Only what is installed from a folder is sure to be this package.
    text = path.read_text(encoding="utf-8")
    assert "chainrule[" not in text
    for arguments in re.findall(r"pip install ([^`\n&#]+)", text):
        assert "chainrule" not in arguments
        for extras in re.findall(r"\.\[([\w,]+)\]", arguments):
            assert set(extras.split(",")) <= set(EXTRAS), extras


def test_progress_bars_need_tqdm_alone():
    (only,) = EXTRAS["progress"]
    assert Requirement(only).name == "tqdm"
    assert "chainrule[progress]" in EXTRAS["cli"]
