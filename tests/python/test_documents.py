"""The documents agree with the code: names in docs/functions.md, links between the pages."""

from __future__ import annotations

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
        ("Optimizers", _core.optimizers),
        ("Schedules", _core.schedules),
        ("Initializers", _core.initializers),
    ],
)
def test_every_function_has_its_row(section, names):
    assert sorted(documented_names(section)) == sorted(names())


def test_every_elementary_function_is_named():
    text = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")
    section = text.split("\n## Elementary functions\n", maxsplit=1)[1]
    assert [name for name in _core.math_functions() if f"`{name}`" not in section] == []


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
