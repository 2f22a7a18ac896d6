"""Options of `chainrule train` from a TOML file; the command line goes before them."""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import Any

from chainrule._command.errors import UsageError, quoted, require

__all__ = ["read_config"]

_NOT_IN_FILE = ("help", "file", "config")


def read_config(path: str, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return the options that a file gives, by their names in `parser`, checked as those are.

    Parameters
    ----------
    path : str
        A TOML file whose keys are long options without their dashes.
    parser : ArgumentParser
        Of `chainrule train`.

    Raises
    ------
    UsageError
        For a file that cannot be read, a key that is no option, and a value that does not fit it.
    """
    options = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
        and not option.startswith("--no-")  # false says that
        and action.dest not in _NOT_IN_FILE
    }
    found = {}
    for key, value in _parsed(path).items():
        name = key.replace("_", "-")
        action = options.get(name)
        if action is None:
            close = difflib.get_close_matches(name, options, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UsageError(
                f"{path}: {quoted(key)} is no option of chainrule train{hint}; see "
                "chainrule train --help"
            )
        found[action.dest] = _checked(path, key, action, value)
    return found


def _parsed(path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        require("--config", ["tomli"])
        import tomli as tomllib
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = tomllib.load(file)
            return found
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from None


def _checked(path: str, key: str, action: argparse.Action, value: Any) -> Any:
    """Return a value as the command line would give it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{path}: {key}: {quoted(value)}: expected true or false")
        return value
    if isinstance(action.default, list):
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise UsageError(f"{path}: {key}: {quoted(value)}: expected a text or a list of texts")
        return texts
    if isinstance(value, bool | dict) or (
        isinstance(value, list) and not all(type(item) is int for item in value)
    ):
        raise UsageError(f"{path}: {key}: {quoted(value)}: expected a number or a text")
    if isinstance(value, list):
        value = ",".join(map(str, value)) or "none"
    text = str(value)
    if action.choices is not None and text not in action.choices:
        raise UsageError(
            f"{path}: {key}: {quoted(text)}: expected one of {', '.join(action.choices)}"
        )
    try:
        return text if action.type is None else action.type(text)  # type: ignore[operator]
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{path}: {key}: {error}") from None
