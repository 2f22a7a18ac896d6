"""A table whose target depends on its times, written in many ways; for the tests of dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tables import write


def visits(n: int = 400) -> pd.DataFrame:
    """Return times, and a target of weekday, month, hour and trend; two cells are missing."""
    rng = np.random.default_rng(5)
    hours = pd.to_timedelta(rng.integers(0, 2 * 365 * 24, n), unit="h")
    when = pd.Series(pd.Timestamp("2021-01-04") + hours)
    at, day = when.dt.hour.to_numpy(), when.dt.day_of_week.to_numpy()
    y = 3.0 * (day >= 5) + 2 * np.sin(when.dt.month.to_numpy()) + 2 * (at >= 12)
    frame = pd.DataFrame({"when": when, "a": rng.normal(size=n), "y": y})
    frame["y"] = (frame["y"] + (when - when.min()).dt.days / 200 + rng.normal(size=n) / 5).round(6)
    frame.loc[[7, 70], "when"] = pd.NaT
    return frame


WAYS = {
    "iso.csv": "%Y-%m-%d %H:%M:%S",
    "zone.csv": "%Y-%m-%dT%H:%M:%SZ",
    "european.csv": "%d/%m/%Y %H:%M",
    "american.csv": "%m/%d/%Y %I:%M %p",
    "german.csv": "%d.%m.%Y %H.%M",
    "words.parquet": "%b %d, %Y %H:%M",
    "text.arrows": "%d-%m-%y %H:%M:%S",
    "numbers.csv": "%Y%m%d%H%M%S",
    "epoch.csv": "%s",
}


def written(folder: Path) -> list[str]:
    """Write the same table in every way; return the files' names."""
    frame = visits()
    write(frame, folder / "typed.parquet")
    for name, way in WAYS.items():
        texts = frame["when"].dt.strftime(way).astype(object)
        texts = texts.where(texts.notna(), "" if name.endswith("csv") else None)
        write(frame.assign(when=texts), folder / name)
    return ["typed.parquet", *WAYS]


def days(*texts: str) -> list[float]:
    """Return days and times as seconds since 1970."""
    return (np.array(texts, "datetime64[s]").astype(np.int64)).tolist()
