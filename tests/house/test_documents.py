"""The documents agree with the code: names in functions.md and the reference, extras, links."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from chainrule import _core

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))


def documented_names(section: str) -> list[str]:
    """First column of the table under a heading of docs/functions.md."""
    text = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
    body = text.split(f"\n## {section}\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    return re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("Activations", _core.activations),
        ("Losses", _core.losses),
        ("Links", _core.links),
        ("Optimizers", _core.optimizers),
        ("Schedules", _core.schedules),
        ("Initializers", _core.initializers),
    ],
)
def test_every_function_has_its_row(section, names):
    assert sorted(documented_names(section)) == sorted(names())


def test_the_row_of_a_loss_has_its_link():
    text = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
    body = text.split("\n## Losses\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    links = dict(re.findall(r"^\| `(\w+)` \|.* \| `(\w+)` \| ", body, flags=re.MULTILINE))
    assert links == {name: info["link"] for name, info in _core.losses().items()}


def test_every_elementary_function_is_named():
    text = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
    section = text.split("\n## Elementary functions\n", maxsplit=1)[1]
    assert [name for name in _core.math_functions() if f"`{name}`" not in section] == []


MODULES = [
    "chainrule",
    "chainrule.estimators",
    "chainrule.exchange",
    "chainrule.kernels",
    "chainrule.runtime",
]


def names_in_the_reference() -> set[str]:
    """Return what the directives of docs/api/ document."""
    found = set()
    for page in (ROOT / "docs" / "api").glob("*.md"):
        module = ""
        directives = re.findall(
            r"^\.\. (\w+):: (\S+)\n((?:   .*\n)*)",
            page.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
        for directive, name, options in directives:
            if directive not in ("module", "currentmodule", "automodule"):
                found.add(f"{module}.{name}")
                continue
            module = name
            if directive != "currentmodule":
                found.add(module)
            if ":members:" in options:
                excluded = set(re.findall(r"\w+", options.partition(":exclude-members:")[2]))
                public = importlib.import_module(module).__all__
                found |= {f"{module}.{name}" for name in public if name not in excluded}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    public = importlib.import_module(module).__all__
    assert [n for n in public if f"{module}.{n}" not in names_in_the_reference()] == []


def test_every_extra_is_in_the_install_page():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]\n")[1].split("\n[")[0]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    extras = re.findall(r"^(\w+) = \[", section, flags=re.MULTILINE)
    assert len(extras) > 5
    assert [extra for extra in extras if f"`{extra}`" not in page] == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        if not destination.exists() or (anchor and anchor not in anchors(destination)):
            broken.append(target)
    assert broken == []
