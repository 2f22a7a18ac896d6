"""Smoke test of a benchmark that is a script: several processes, both ways to start them."""

import re

from . import oversubscription


def test_oversubscription(capsys):
    oversubscription.main(["--shapes", "rl", "--rounds", "1", "--fits", "1", "--epochs", "1"])
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("4 processes, ")
    seconds = r"( \d+\.\d{3} \|)+"
    for start, row in zip(("spawn", "joblib"), rows[3:], strict=True):
        assert re.fullmatch(rf"\| rl \| {start} \|{seconds} \d+\.\d\d \|", row), row
