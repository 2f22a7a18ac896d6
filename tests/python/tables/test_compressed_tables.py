"""Compressed tables: read as the plain file is, and refused when they are damaged or no table."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tables import cancer, write

from chainrule._cli import main
from chainrule._command.errors import UsageError
from chainrule._command.pipeline import load
from chainrule._command.table import Choices, read_table

OPTIONS = ("--epochs", "1", "--weight-decay", "1", "--quiet")


def zipped(content: bytes, *names: str, level: int | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name in names or ("folder/table.csv",):
            archive.writestr(name, content)
    return file.getvalue()


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
    "zip": zipped,
}
FASTEST: dict[str, Callable[[bytes], bytes]] = COMPRESS | {
    "gz": lambda content: gzip.compress(content, 1),
    "bz2": lambda content: bz2.compress(content, 1),
    "xz": lambda content: lzma.compress(content, preset=0),
    "zip": lambda content: zipped(content, level=1),
}


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_table(str(path), "y", Choices())
    return str(error.value).replace(str(path), path.name)


@pytest.mark.parametrize(
    ("kind", "ending"), [("csv", ending) for ending in COMPRESS] + [("tsv", "gz")]
)
def test_the_same_bits_as_from_the_plain_file(
    in_folder: Path, capsys: pytest.CaptureFixture[str], kind: str, ending: str
) -> None:
    plain = write(cancer(), in_folder / f"t.{kind}")
    assert main(["train", plain.name, "--target", "diagnosis", *OPTIONS]) == 0
    Path("t.safetensors").rename("plain.safetensors")
    Path("t.json").unlink()
    Path("t.html").unlink()
    assert main(["predict", "plain.safetensors", plain.name, "--output", "plain.csv"]) == 0
    assert main(["evaluate", "plain.safetensors", plain.name]) == 0
    expected = capsys.readouterr().out.rpartition("data ")[2]
    packed = Path(f"{plain.name}.{ending}")
    packed.write_bytes(COMPRESS[ending](plain.read_bytes()))
    plain.unlink()
    assert main(["train", packed.name, "--target", "diagnosis", *OPTIONS]) == 0
    trained = load("t.safetensors").model.parameters
    np.testing.assert_array_equal(trained, load("plain.safetensors").model.parameters)
    assert Path("t.json").exists()
    assert main(["predict", "t.safetensors", packed.name, "--output", "p.csv"]) == 0
    assert Path("p.csv").read_bytes() == Path("plain.csv").read_bytes()
    capsys.readouterr()
    assert main(["evaluate", "t.safetensors", packed.name]) == 0
    found = capsys.readouterr().out.rpartition("data ")[2]
    assert found.replace(packed.name, plain.name) == expected


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n\n1,u\n\n2,v,3\n", "line 5: 3 fields, but the header has 2"),
        ("a,y\n" + "1,u\n\n" * 20 + "x,v\n", "line 42, column 'a': 'x' is text in a column"),
        ('a,y\n1,"u\n2,v\n', "line 2: a quoted cell has no end"),
        ("", "holds only blank lines, expected a header line"),
    ],
)
def test_errors_name_the_lines_of_the_text(
    tmp_path: Path, ending: str, text: str, message: str
) -> None:
    path = tmp_path / "table"  # a name that says nothing
    assert message in refused(path, COMPRESS[ending](text.encode()))
    if text:
        assert message in refused(path, text.encode())


@pytest.mark.parametrize("ending", COMPRESS)
def test_archives_that_are_cut_short(tmp_path: Path, ending: str) -> None:
    text = "a,y\n" + "".join(f"{i * i},{'uv'[i % 2]}\n" for i in range(3000))
    whole = COMPRESS[ending](text.encode())
    for n in (20, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        said = refused(tmp_path / "t.csv", whole[:n])
        assert "is cut short" in said or "is damaged" in said, n


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip"])
def test_archives_with_a_flipped_bit(tmp_path: Path, ending: str) -> None:
    text = "a,y\n" + "".join(f"{i * i},{'uv'[i % 2]}\n" for i in range(3000))
    whole = COMPRESS[ending](text.encode())
    for n in range(60, len(whole) - 200, len(whole) // 20):
        flipped = bytearray(whole)
        flipped[n] ^= 1 << n % 8
        assert "is damaged" in refused(tmp_path / "t.csv", bytes(flipped)), n


def test_a_damaged_frame_of_zstd(tmp_path: Path) -> None:
    whole = zstd(b"a,y\n" + b"1,u\n2,v\n" * 3000)
    flipped = whole[:7] + bytes([whole[7] ^ 255]) + whole[8:]
    assert "t.csv (zstd by its first bytes) is damaged: " in refused(tmp_path / "t.csv", flipped)


def test_archives_that_follow_one_another(tmp_path: Path) -> None:
    for ending in ("gz", "bz2", "xz", "zst"):
        path = tmp_path / f"t.{ending}"
        path.write_bytes(
            COMPRESS[ending](b"a,y\n" + b"1,u\n" * 20) + COMPRESS[ending](b"2,v\n" * 20)
        )
        assert read_table(str(path), "y", Choices()).n_rows == 40


def test_zip_archives_of_more_than_one_file(tmp_path: Path) -> None:
    text = b"a,y\n" + b"1,u\n2,v\n" * 20
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(text, "t/", "t/t.csv", "__MACOSX/t/._t.csv"))
    assert read_table(str(path), "y", Choices()).n_rows == 40
    assert refused(path, zipped(text, *(f"{i}.csv" for i in range(4)))) == (
        "t.zip is a zip archive of 4 files ('0.csv', '1.csv', '2.csv', ...); expected one table, "
        "as CSV in UTF-8"
    )
    assert "is a zip archive of 0 files; expected one" in refused(path, zipped(text, "folder/"))


def test_what_is_no_text_inside(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(20), "y": ["u", "v"] * 10})
    parquet, book = io.BytesIO(), io.BytesIO()
    frame.to_parquet(parquet)
    path = tmp_path / "t.gz"
    text = frame.to_csv(index=False).encode()
    assert refused(path, gzip.compress(parquet.getvalue())) == (
        "t.gz is compressed by gzip and holds Parquet, which is compressed by itself; "
        "unpack it first"
    )
    assert refused(path, bz2.compress(gzip.compress(text))) == (
        "t.gz is compressed twice; unpack it once"
    )
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive:
        archive.addfile(tarfile.TarInfo("t.csv"), io.BytesIO())
    assert "holds a tar archive, expected a table" in refused(path, tar.getvalue())
    book = io.BytesIO(zipped(b"", "[Content_Types].xml", "xl/workbook.xml", "xl/sheet1.xml"))
    assert refused(path, book.getvalue()) == (
        "t.gz is an Excel workbook; save the table as CSV in UTF-8"
    )
    assert "t.gz is a 7-Zip archive; save" in refused(path, b"7z\xbc\xaf\x27\x1c" + bytes(90))
    assert "is not text in UTF-8: byte 0xff" in refused(path, gzip.compress(b"a,y\n\xff,1\n"))


def test_zip_with_a_password_or_a_method_of_later_times(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    content = bytearray(zipped(b"a,y\n1,2\n"))
    for place in (6, content.index(b"PK\1\2") + 8):
        content[place] |= 1
    assert "is a zip archive with a password; unpack it first" in refused(path, bytes(content))
    content = bytearray(zipped(b"a,y\n1,2\n"))
    for place in (8, content.index(b"PK\1\2") + 10):
        content[place] = 97
    assert "t.zip (zip) cannot be read: " in refused(path, bytes(content))


def test_words_that_begin_as_an_archive_does(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("BZh9,y\n" + "1,u\n2,v\n" * 10)
    assert read_table(str(path), "y", Choices()).n_rows == 20


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_large_archive_is_read_piece_by_piece(tmp_path: Path, ending: str) -> None:
    # 44 MB of text, which would show in the memory if it were unpacked at once. Of a long cell that
    # repeats, so that it is packed in no time, and a piece of an archive holds much of it.
    rng = np.random.default_rng(0)
    cell = "-" * 90
    rows = [f"{i},{x},{cell}\n" for i, x in enumerate(rng.integers(0, 9, 2000))]
    text = b"a,b,c\n" + "".join(rows).encode() * 225
    paths = tmp_path / "small", tmp_path / "big"
    for path, content in zip(paths, (text[:4000], text), strict=True):
        path.write_bytes(FASTEST[ending](content[: content.rindex(b"\n") + 1]))
    # ru_maxrss would not do: on Linux a process begins with that of the one that started it.
    code = (
        "import sys\n"
        "from chainrule._command import delimited\n"
        "from chainrule._command.source import open_source\n"
        "delimited._CELLS_OF_CHUNK = 20_000\n"
        "def read(path):\n"
        "    n = sum(chunk.n_rows for chunk in open_source(path).chunks(['a', 'b'], {}))\n"
        "    with open('/proc/self/status') as status:\n"
        "        peak = next(line for line in status if line.startswith('VmHWM'))\n"
        "    return n, int(peak.split()[1]) * 1024\n"
        "(_, before), (n, after) = map(read, sys.argv[1:])\n"
        "print(n, after - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    n_rows, growth = map(int, done.stdout.split())
    assert n_rows == 2000 * 225
    assert growth < len(text) // 3
