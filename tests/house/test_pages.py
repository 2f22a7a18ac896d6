"""The code in docs/ runs and prints what the pages say, on any variant with FMA.

A page is a session of its own in an empty folder, from its first block to its last: `pycon` blocks
are doctest's, and of `console` blocks the lines after `$ ` (and after `> `, which continue them)
go to the shell. `...` in an output stands for anything.
"""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NEED_TORCH = {"guides/pytorch.md"}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page):
    """Return language, text and line of the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        (match[1], match[2], text.count("\n", 0, match.start(2)))
        for match in re.finditer(r"^```(\S*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def commands(text):
    """Turn a console block into examples that call `shell`."""
    found = []
    for i, line in enumerate(text.splitlines(keepends=True)):
        if line.startswith("$ "):
            found.append([line[2:], "", i])
        elif found and line.startswith("> ") and not found[-1][1]:
            found[-1][0] += line[2:]
        elif found:
            found[-1][1] += line
    return [doctest.Example(f"shell({command!r})\n", want, lineno=i) for command, want, i in found]


def examples(page):
    found = []
    for language, text, line in blocks(page):
        if language == "pycon":
            of_block = doctest.DocTestParser().get_examples(text)
        elif language == "console":
            of_block = commands(text)
        else:
            continue
        for example in of_block:
            example.lineno += line
        found += of_block
    return found


PAGES = {
    str(page.relative_to(DOCS)): found
    for page in sorted(DOCS.rglob("*.md"))
    if (found := examples(page))
}


def shell(command):
    """Run a command as a user does and print what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", command],
        env={**os.environ, "PATH": path, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
    print(done.stdout, end="")
    assert done.returncode == 0, f"exit code {done.returncode}"


def test_the_pages_are_found():
    guides = {str(page.relative_to(DOCS)) for page in (DOCS / "guides").glob("*.md")}
    assert {"index.md", "tutorial.md", "files.md"} | guides - {"guides/index.md"} <= set(PAGES)
    assert sum(map(len, PAGES.values())) > 100


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.torch) if page in NEED_TORCH else page for page in PAGES],
)
def test_a_page_does_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = doctest.DocTest(PAGES[page], {"shell": shell}, page, str(DOCS / page), 0, None)
    messages = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(session, out=messages.append)
    assert result.failed == 0, "".join(messages)


@pytest.mark.parametrize(
    "page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS))
)
def test_no_code_is_left_out(page):
    for language, text, line in blocks(page):
        assert language not in {"python", "py", "python3", "bash", "sh", "shell", "c"}, line
        if language == "pycon":
            assert text.startswith(">>> "), line
        if language == "console" and page.name != "performance.md":  # it takes hours
            assert text.startswith("$ "), line
