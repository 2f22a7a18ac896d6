"""Names of outputs: checked before any time is spent, long or odd, and never an input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import write_csv

from chainrule._cli import main
from chainrule._command import table as table_module
from chainrule._command.errors import UsageError, printable
from chainrule._command.outputs import check_output

OPTIONS = ("--target", "target", "--epochs", "1", "--weight-decay", "1", "--quiet")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "iris.csv", "iris")
    return tmp_path


@pytest.mark.parametrize("n_bytes", [200, 201, 243, 248, 255])
@pytest.mark.parametrize("letter", ["m", "ü"])
def test_names_as_long_as_there_are(
    in_folder: Path, capsys: pytest.CaptureFixture[str], letter: str, n_bytes: int
) -> None:
    n = n_bytes - len(".safetensors")
    name = letter * (n // len(letter.encode())) + "x" * (n % len(letter.encode())) + ".safetensors"
    assert len(name.encode()) == n_bytes
    assert main(["train", "iris.csv", *OPTIONS, "--output", name]) == 0
    assert main(["train", "iris.csv", *OPTIONS, "--output", name, "--force"]) == 0
    assert main(["predict", name, "iris.csv", "--output", name[:-12] + ".csv"]) == 0
    assert len(list(in_folder.iterdir())) == 5  # no temporary file is left


def make_dangling(folder: Path) -> None:
    (folder / "x.safetensors").symlink_to(folder / "nowhere" / "x.safetensors")


def make_circle(folder: Path) -> None:
    (folder / "x.safetensors").symlink_to("y")
    (folder / "y").symlink_to("x.safetensors")


def make_folder(folder: Path) -> None:
    (folder / "x.html").mkdir()


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / "x.json")


def make_link(folder: Path) -> None:
    (folder / "x.json").symlink_to("iris.csv")


def make_hard_link(folder: Path) -> None:
    (folder / "x.html").hardlink_to(folder / "iris.csv")


def make_config(folder: Path) -> None:
    (folder / "x.json").hardlink_to(folder / "options.toml")


if os.name == "posix":

    @pytest.mark.parametrize(
        ("make", "output", "message"),
        [
            (None, "m" * 244 + ".safetensors", "cannot be written: File name too long"),
            (None, "no/such/x.safetensors", "there is no folder no/such"),
            (None, "iris.csv/x.safetensors", "there is no folder iris.csv"),
            (make_dangling, "x.safetensors", "nowhere, and there is no such folder"),
            (make_circle, "x.safetensors", "cannot be written: Too many levels of symbolic links"),
            (make_folder, "x.safetensors", "x.html: it is a folder"),
            (make_pipe, "x.safetensors", "x.json: it is a pipe or a device, expected a file"),
            (make_link, "x.safetensors", "x.json: it is the file to read, which is never written"),
            (make_hard_link, "x.safetensors", "x.html: it is the file to read"),
            (make_config, "x.safetensors", "x.json: it is the file to read"),
        ],
    )
    def test_outputs_are_checked_before_the_table_is_read(
        in_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        make: Callable[[Path], None] | None,
        output: str,
        message: str,
    ) -> None:
        def read(*_: object) -> None:
            raise AssertionError("the table was read")

        (in_folder / "options.toml").write_text("seed = 1\n")
        if make is not None:
            make(in_folder)
        before = (in_folder / "iris.csv").read_bytes()
        monkeypatch.setattr(table_module, "build_columns", read)
        arguments = ["train", "iris.csv", *OPTIONS, "--config", "options.toml", "--force"]
        assert main([*arguments, "--output", output]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert (in_folder / "iris.csv").read_bytes() == before

    def test_predictions_and_scores_do_not_replace_what_is_read(
        in_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["train", "iris.csv", *OPTIONS]) == 0
        before = Path("iris.csv").read_bytes()
        Path("link.csv").symlink_to("iris.csv")
        for command in (
            ["predict", "iris.safetensors", "iris.csv", "--output", "iris.csv"],
            ["predict", "iris.safetensors", "iris.csv", "--output", "link.csv"],
            ["evaluate", "iris.safetensors", "iris.csv", "--json", "iris.safetensors"],
            ["export", "iris.safetensors", "iris.safetensors"],
        ):
            assert main([*command, "--force"]) == 2
            assert "it is the file to read, which is never written to" in capsys.readouterr().err
        assert main(["evaluate", "iris.safetensors", "iris.csv", "--json", "folder/"]) == 2
        assert "'folder/': expected the name of a file" in capsys.readouterr().err
        assert Path("iris.csv").read_bytes() == before

    def test_a_link_to_a_file_is_followed(in_folder: Path) -> None:
        Path("there").mkdir()
        Path("model.safetensors").symlink_to("there/it.safetensors")
        assert (
            main(["train", "iris.csv", *OPTIONS, "--output", "model.safetensors", "--force"]) == 0
        )
        assert Path("model.safetensors").is_symlink()
        assert Path("there/it.safetensors").is_file()

    def test_a_folder_that_cannot_be_written_to(
        in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (in_folder / "locked").mkdir()
        (in_folder / "locked" / "x.safetensors").write_text("an older one")
        locked = str(in_folder / "locked")
        # As root, every folder can be written to.
        monkeypatch.setattr(os, "access", lambda path, _: path != locked)
        for name in ("x", "y"):
            output = f"locked/{name}.safetensors"
            assert main(["train", "iris.csv", *OPTIONS, "--force", "--output", output]) == 2
            assert f"the folder {locked} cannot be written to" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["a b\n c", "\x1b[31mred", "*?[x]", "%d{}", "-x", "日本 é"])
    def test_odd_names(in_folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
        Path("iris.csv").rename(f"{name}.csv")
        assert main(["train", *OPTIONS[:-1], "--", f"{name}.csv"]) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said
        assert f"{printable(name)}.safetensors" in said.replace("\n" + " " * 20, " ")
        assert Path(f"{name}.safetensors").exists()
        assert main(["train", *OPTIONS, "--", f"{name}.csv"]) == 2
        error = capsys.readouterr().err
        assert f"--output {printable(name)}.safetensors: it exists" in error
        assert error.count("\n") == 1


def test_a_name_with_a_nul(in_folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: a NUL in its name"):
        check_output("a\0b.json", "--json", force=False, inputs=[])


if os.name == "posix":

    def test_a_name_that_has_no_bytes(in_folder: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot be written: .* surrogates not allowed"):
            check_output("a\ud800b.json", "--json", force=False, inputs=[])
