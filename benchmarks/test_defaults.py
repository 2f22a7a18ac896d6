"""Smoke test of a benchmark that is a script: a table with classes and one of values."""

import re

import pytest

from . import defaults


def test_defaults(capsys):
    pytest.importorskip("pandas")
    arguments = ["--tables", "iris,homes", "--seeds", "2"]
    defaults.main(arguments, {"epochs": 2, "weight_decay": 1.0})
    rows = capsys.readouterr().out.splitlines()[2:]
    scores = [("iris", 150, "accuracy"), ("iris", 150, "log_loss"), ("homes", 2000, "r2")]
    number = r"-?\d+\.\d{4} ± \d+\.\d{4}"
    for (name, n_rows, score), row in zip(scores, rows, strict=True):
        pattern = rf"\| {name} \| {n_rows} \| {score} (\| {number} ){{2}}(\| \d+\.\d ){{2}}\|"
        assert re.fullmatch(pattern, row), row
