"""The HTML report: well-formed, self-contained, escaped, and with the numbers of the JSON file."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from tables import diabetes, write

from chainrule._cli import main
from chainrule._command import figures
from chainrule._command.elements import element, picture, table
from chainrule._command.report import amount

pytestmark = pytest.mark.pictures

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Checks that every tag is closed in its turn; collects texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def pictures(self) -> list[bytes]:
        start = "data:image/svg+xml;base64,"
        return [
            base64.b64decode(value.removeprefix(start), validate=True)
            for name, value in self.attributes
            if name == "src" and value.startswith(start)
        ]


HOSTILE = {
    "column": "<script>alert('x')</script> & $\\frac{$ \"",
    "class": "</td><img src=x onerror=alert(1)>",
    "target": "</title><b>花</b>",
    "file": "a<b>&c.csv",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    rng = np.random.default_rng(0)
    label = rng.random(300) < 0.4
    hostile = pd.DataFrame(
        {
            HOSTILE["column"]: label + rng.normal(0, 0.5, 300),
            "words": rng.choice(["<i>", "&amp;", "$x$"], 300),
            HOSTILE["target"]: np.where(label, HOSTILE["class"], "plain"),
        }
    )
    for frame, name, target, more in (
        (hostile, HOSTILE["file"], HOSTILE["target"], ["--compare"]),
        (diabetes(), "diabetes.csv", "progress", []),
    ):
        path = write(frame, folder / name)
        output = folder / f"{name[:-4]}.safetensors"
        arguments = ["train", str(path), "--target", target, "--epochs", "8", "--quiet", *more]
        assert main([*arguments, "--output", str(output)]) == 0
    return folder


@pytest.mark.parametrize(
    ("name", "headings"),
    [
        ("a<b>&c", {"Confusion matrix", "Calibration"}),
        ("diabetes", {"Predicted against actual", "Calibration"}),
    ],
)
def test_page(folder: Path, name: str, headings: set[str]) -> None:
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    report = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n<html")
    assert page.tags.count("h1") == 1
    assert headings | {"What the model goes by", "Learning curve", "Columns"} <= set(page.texts)
    # Nothing is loaded, nothing runs.
    assert not {"script", "link", "iframe", "object", "b", "i"} & set(page.tags)
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"base64,[^\"]*", "", text))
    assert {key for key, _ in page.attributes} <= {
        *("lang", "charset", "name", "content", "class", "alt", "src")
    }
    assert all(value.startswith("data:") for key, value in page.attributes if key == "src")
    assert len(page.pictures) == 4
    for svg in page.pictures:
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("}svg")
        assert b"<script" not in svg
    words = " ".join(page.texts)
    main_score = report["main_score"]
    for each in report["scores"].values():
        assert f"{each[main_score]:.4f}" in words
    for column in report["data"]["columns"]:
        assert column["name"] in page.texts
    assert report["target"]["name"] in words


def test_hostile_names_stay_names(folder: Path) -> None:
    page = Page((folder / "a<b>&c.html").read_text(encoding="utf-8"))
    assert HOSTILE["column"] in page.texts
    assert f"{HOSTILE['target']}, learned from {HOSTILE['file']}" in page.texts
    assert "scikit-learn's MLP" in page.texts


def test_report_for_programs(folder: Path) -> None:
    report = json.loads((folder / "diabetes.json").read_text(encoding="utf-8"))
    assert report["format"] == "chainrule report"
    assert report["format_version"] == 1
    history = report["training"]["history"]
    assert len(history["loss"]) == report["training"]["epochs_run"] <= 8
    best = report["training"]["best_epoch"]
    assert history["validation_loss"][best - 1] == min(history["validation_loss"])
    assert report["confusion"] is None
    falls = [item["mean"] for item in report["importance"]]
    assert falls == sorted(falls, reverse=True)
    assert falls[0] > 0.05
    # Body-mass index and the triglycerides: what the literature finds first, too.
    assert {item["column"] for item in report["importance"][:3]} & {"bmi", "s5"}


def test_pictures_follow_the_theme(folder: Path) -> None:
    text = (folder / "diabetes.html").read_text(encoding="utf-8")
    assert "@media (prefers-color-scheme: dark)" in text
    for svg in Page(text).pictures:
        assert b"@media (prefers-color-scheme: dark)" in svg
        assert b"stroke: currentColor" in svg
        # Neither a white page behind the picture nor ink that is black in every theme.
        assert b"#ffffff" not in svg
        assert b"#000000" not in svg


def test_labels_of_long_names_differ() -> None:
    names = [f"the quantity number {i:02} that was measured in the laboratory" for i in range(20)]
    labels = figures._labels([*names, "short", "costs in $"])
    assert len(set(labels)) == len(labels)
    assert all(f"{i:02}" in label for i, label in enumerate(labels[:20]))
    assert max(map(len, labels)) <= 28
    assert labels[20:] == ["short", r"costs in \$"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (131_600.4, "131,600"), (-0.05139, "-0.05139"), (3e-7, "3e-07"), (57.34, "57.34")],
)
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text


def test_elements_escape() -> None:
    assert element("p", "<&>\"'", element("b", "x"), class_='"').html == (
        '<p class="&quot;">&lt;&amp;&gt;&quot;&#x27;<b>x</b></p>'
    )
    assert picture(b"<svg/>", '">').html == (
        '<img alt="&quot;&gt;" src="data:image/svg+xml;base64,PHN2Zy8+">'
    )
    rows = Page(table(["<a>", "b"], [["1", "<2>"]], numbers_from=1).html)
    assert rows.texts == ["<a>", "b", "1", "<2>"]
    assert rows.attributes == [("class", "scrolls"), ("class", "number"), ("class", "number")]
