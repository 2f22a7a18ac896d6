"""Smoke run of the products in every precision."""

import sys

import pytest

from . import products


def test_a_small_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["products", "--sizes", "40", "--rounds", "1"])
    products.main()
    printed = capsys.readouterr().out
    assert "| 40 | float32 |" in printed
    assert all(f"| 40 | {name} |" in printed for name in ("bf16x6", "bf16x3", "bf16"))
