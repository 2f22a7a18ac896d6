"""How dates become numbers: every format beside Python's own datetime, and what is no date."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule._command import dates
from chainrule._command.date_finding import find_formats, find_in_numbers, formats_of
from chainrule._command.dates import ISO, TIME, UNITS, check_format, example, order_of, seconds_of

EPOCH = dt.datetime(1970, 1, 1)


def seconds(*moment: int) -> float:
    return (dt.datetime(*moment) - EPOCH).total_seconds()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "date_format", "first"),
    [
        (["31/12/2024", "1/2/2024"], "%d/%m/%Y", (2024, 12, 31)),
        (["12/31/2024", "1/2/2024"], "%m/%d/%Y", (2024, 12, 31)),
        (["31.12.2024", "01.02.2024"], "%d.%m.%Y", (2024, 12, 31)),
        (["31-12-2024"], "%d-%m-%Y", (2024, 12, 31)),
        (["Feb 01, 2012", "May 3, 2012", "Sept. 3, 2012"], "%b %d, %Y", (2012, 2, 1)),
        (["31 Jan 2022", "1 FEBRUARY 2022"], "%d %b %Y", (2022, 1, 31)),
        (["January 5, 2022", "May 15, 2022"], "%b %d, %Y", (2022, 1, 5)),
        (["31-Jan-22"], "%d-%b-%y", (2022, 1, 31)),
        (
            ["31-JAN-22 01.05.09.500000 PM"],
            "%d-%b-%y %I.%M.%S.%f %p",
            (2022, 1, 31, 13, 5, 9, 500000),
        ),
        (["31. 12. 2024", "1. 2. 2024"], "%d. %m. %Y", (2024, 12, 31)),
        (["31JAN1969"], "%d%b%Y", (1969, 1, 31)),
        (["2022/01/31"], "%Y/%m/%d", (2022, 1, 31)),
        (["2022-1-31", "2022-12-1"], "%Y-%m-%d", (2022, 1, 31)),
        (["31/01/2022 00:00", "1/2/2022 9:05"], "%d/%m/%Y %H:%M", (2022, 1, 31)),
        (["31/01/2022 07:05", "1/2/2022 9:05:10"], "%d/%m/%Y %H:%M:%S", (2022, 1, 31, 7, 5)),
        (["12/31/2024 1:05 PM", "12/31/2024 12:05 am"], "%m/%d/%Y %I:%M %p", (2024, 12, 31, 13, 5)),
        (["12/31/2024, 1:05:09\u202fPM"], "%m/%d/%Y, %I:%M:%S %p", (2024, 12, 31, 13, 5, 9)),
        (["31.12.2024 18.05"], "%d.%m.%Y %H.%M", (2024, 12, 31, 18, 5)),
        (["31/12/24", "30/11/24"], "%d/%m/%y", (2024, 12, 31)),
        (["24/12/30", "24/12/31", "25/01/02"], "%y/%m/%d", (2024, 12, 30)),
        (["31/12/2024 24:00"], "%d/%m/%Y %H:%M", (2025, 1, 1)),
        (["Mon, 31 Jan 2022 10:00:00 GMT"], "%a, %d %b %Y %H:%M:%S %z", (2022, 1, 31, 10)),
        (["Mon Jan 31 10:00:00 2022"], "%a %b %d %H:%M:%S %Y", (2022, 1, 31, 10)),
        (["31/Jan/2022:10:00:00 +0130"], "%d/%b/%Y:%H:%M:%S %z", (2022, 1, 31, 8, 30)),
        (["20220131T100000Z"], "%Y%m%dT%H%M%S%z", (2022, 1, 31, 10)),
        (["2022-01-31T10:00:00Z", "2022-01-31 10:00"], ISO, (2022, 1, 31, 10)),
        (["2022-03-27 01:59:59+01:00", "2022-03-27 03:00:00+02:00"], ISO, (2022, 3, 27, 0, 59, 59)),
        (["01/2022", "12/2022"], "%m/%Y", (2022, 1, 1)),
        (["Jan 2022", "May 2022"], "%b %Y", (2022, 1, 1)),
        (["18:00", "6:30"], "%H:%M", (1970, 1, 1, 18)),
        (["18.00.00", "06.30.00"], "%H.%M.%S", (1970, 1, 1, 18)),
        (["18:00:00", "06:30:15"], "%H:%M:%S", (1970, 1, 1, 18)),
        (["6:00 PM", "11:30 am"], "%I:%M %p", (1970, 1, 1, 18)),
        (["31/12/1969", "01/01/1600"], "%d/%m/%Y", (1969, 12, 31)),
    ],
)
def test_formats(texts: list[str], date_format: str, first: tuple[int, ...]) -> None:
    found = find_formats([f" {text} " for text in texts])
    assert next(iter(found)) == date_format
    assert len(found) == 1
    assert found[date_format][0] == seconds(*first)
    one_by_one = [seconds_of([text], date_format) for text in texts]
    np.testing.assert_array_equal(found[date_format], np.concatenate(one_by_one))
    check_format(date_format)


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["01/02/2024", "03/04/2024"], ["%m/%d/%Y", "%d/%m/%Y"]),
        (["01.02.2024", "03.04.2024"], ["%d.%m.%Y", "%m.%d.%Y"]),
        (["01-02-24 10:00"], ["%d-%m-%y %H:%M", "%m-%d-%y %H:%M"]),
        (["01/02/2024", "13/04/2024"], ["%d/%m/%Y"]),
        (["01/02/2024", "03/14/2024"], ["%m/%d/%Y"]),
    ],
)
def test_what_may_be_mistaken(texts: list[str], formats: list[str]) -> None:
    assert list(find_formats(texts)) == formats
    assert order_of(formats[-1]) != order_of(formats[0]) or len(formats) == 1


@pytest.mark.parametrize(
    "texts",
    [
        ["13/01/2024", "01/13/2024"],  # contradictory
        ["31/12/2024", "31.12.2024"],
        ["31/12/2024", "2024-12-31"],
        ["31/12/2024", "31/12/2024 10:00"],
        ["30/02/2024", "28/02/2024"],
        ["29/02/2023"],
        ["31/12/2024 24:01"],
        ["31/12/2024 25:00"],
        ["12/31/2024 13:05 PM"],
        ["31 Dez 2024", "1 Jan 2024"],
        ["2022", "2023"],
        ["20220131"],  # a number, which needs more to say so
        ["18.30", "12.00"],
        ["2:1", "3:0"],
        ["59:30", "12:10"],
        ["1.2.10", "2.11.3"],
        ["10.0.0.1"],
        ["555-12-1234"],
        ["1/2"],
        ["soon"],
        [""],
        ["x" * 1000],
        ["31/12/2024", "31/12/2024" + "0" * 100],
        ["٣١/١٢/٢٠٢٤"],
    ],
)
def test_no_dates(texts: list[str]) -> None:
    assert find_formats(texts) == {}


MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
WAYS = {
    "%d/%m/%Y": "{d}/{m}/{Y}",
    "%m-%d-%Y %H:%M:%S.%f": "{m:02}-{d:02}-{Y} {H}:{M}:{S}.{f}",
    "%d. %b %Y %I:%M:%S %p": "{d}. {b} {Y} {I}:{M}:{S} {p}",
    "%Y%m%d%H%M%S": "{Y}{m:02}{d:02}{H}{M}{S}",
    ISO: "{Y}-{m:02}-{d:02}T{H}:{M}:{S}.{f}",
}


@settings(max_examples=60, deadline=None)
@given(moments=st.lists(MOMENTS, min_size=1, max_size=30), way=st.sampled_from(sorted(WAYS)))
def test_beside_datetime(moments: list[dt.datetime], way: str) -> None:
    """Padded or not, in lists of many shapes: as datetime computes it."""
    months = ["Jan", "February", "mar", "Apr.", "MAY", "June", "Jul", "Aug", "Sept", "Oct", "Nov"]
    texts, expected = [], []
    for each in moments:
        fields = {
            "Y": f"{each.year:04}",
            "m": each.month,
            "d": each.day,
            "H": f"{each.hour:02}",
            "M": f"{each.minute:02}",
            "S": f"{each.second:02}",
            "f": f"{each.microsecond:06}",
            "I": each.hour % 12 or 12,
            "p": "pm" if each.hour >= 12 else "AM",
            "b": [*months, "dec"][each.month - 1],
        }
        texts.append(WAYS[way].format(**fields))
        if "%f" not in way and way != ISO:
            each = each.replace(microsecond=0)
        if "H" not in way and "I" not in way and way != ISO:
            each = each.replace(hour=0, minute=0, second=0)
        expected.append((each - EPOCH) // dt.timedelta(microseconds=1) / 1e6)
    np.testing.assert_array_equal(seconds_of(texts, way), expected)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{i % 28 + 1}/{i % 12 + 1}/{1900 + i} {i % 24}:{i % 60:02}" for i in range(200)]
    whole = seconds_of(texts, "%d/%m/%Y %H:%M")
    assert whole is not None
    monkeypatch.setattr(dates, "_BLOCK", 7)
    np.testing.assert_array_equal(seconds_of(texts, "%d/%m/%Y %H:%M"), whole)
    assert seconds_of([*texts, "31/2/2024 10:00"], "%d/%m/%Y %H:%M") is None
    assert seconds_of([*texts, "soon"], "%d/%m/%Y %H:%M") is None
    np.testing.assert_array_equal(seconds_of([]), [])


def test_units() -> None:
    for unit, scale in UNITS.items():
        number = round(1_640_995_200 * scale)
        np.testing.assert_array_equal(seconds_of([str(number)], unit), [seconds(2022, 1, 1)])
        assert seconds_of(["soon"], unit) is None
        assert seconds_of(["inf"], unit) is None
    # As pandas writes whole numbers beside missing ones.
    np.testing.assert_array_equal(seconds_of(["20220131.0"], "%Y%m%d"), [seconds(2022, 1, 31)])


DAYS = np.array([20220101 + 100 * m + d for m in range(3) for d in range(5)], float)
HOURS = 1_640_995_200.0 + 3600 * np.arange(50)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "values", "date_format"),
    [
        ("timestamp", RNG.integers(874_724_710, 893_286_638, 99), "seconds"),  # of MovieLens
        ("created_at", RNG.integers(1_500_000_000_000, 1_600_000_000_000, 99), "milliseconds"),
        ("eventTime", RNG.integers(15 * 10**14, 16 * 10**14, 99), "microseconds"),
        ("ts", RNG.integers(15 * 10**17, 16 * 10**17, 99), "nanoseconds"),
        ("ts", [1.5e9, np.nan, np.inf], "seconds"),
        ("x", HOURS, "seconds"),
        ("x", HOURS * 1e3, "milliseconds"),
        ("x", HOURS[:9], None),  # too few to say so
        ("x", HOURS + 1, None),
        ("order_id", HOURS, None),
        ("phone", RNG.integers(600_000_000, 999_999_999, 99), None),
        ("price", 1e6 * RNG.integers(640, 4000, 99), None),  # 3 million is 50,000 minutes
        ("price", 3e6 * np.arange(300, 400), None),
        ("ean", RNG.integers(4_000_000_000_000, 4_100_000_000_000, 99), None),
        ("time", RNG.integers(0, 10**6, 99), None),
        ("time", [1.5e9, 1.5e12], None),  # of two units
        ("x", DAYS, "%Y%m%d"),
        ("x", DAYS[:4], None),
        ("date", DAYS[:4], "%Y%m%d"),
        ("date", [20220131, 20220230], None),
        ("x", [*DAYS, 20221301], None),
        ("id", DAYS, None),
        ("x", DAYS + 0.5, None),
        ("stamp", DAYS * 1e6 + 235_959, "%Y%m%d%H%M%S"),
        ("year", np.arange(1950, 2030), None),
        ("date", np.arange(1950, 2030), None),
        ("x", [np.nan], None),
    ],
)
def test_numbers(name: str, values: object, date_format: str | None) -> None:
    found = find_in_numbers(name, np.asarray(values, np.float64))
    assert (None if found is None else found[0]) == date_format


@pytest.mark.parametrize(
    ("date_format", "message"),
    [
        ("DD/MM/YYYY", "expected directives as %d/%m/%Y, or iso, seconds"),
        ("%d/%m/%Q", "'%Q' is none of its directives"),
        ("%d/%m/%Y %y", "%Y, or what says the same, comes twice"),
        ("%d/%Y", "a day and no month"),
        ("%d/%m", "a month and no year"),
        ("%M:%S", "neither a year nor an hour"),
        ("%H:%S", "%S and no %M"),
        ("%I:%M", "%I and %p go together"),
        ("%%", "neither"),
        ("%", "'%' is none of its directives"),
    ],
)
def test_no_formats(date_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_format(date_format)


def test_examples_are_in_their_formats() -> None:
    moment = seconds(2026, 11, 22, 13, 5)
    for date_format in ("%d/%m/%y %H:%M", "%A, %B %d, %Y %I:%M:%S.%f %p", "%Y%m%dT%H%M%S%z"):
        text = example(date_format).removesuffix(f" ({date_format})")
        assert seconds_of([text], date_format) == [moment]
    assert formats_of(example(ISO)) == (ISO,)
    assert seconds_of(["07:30"], TIME) == [27_000]
