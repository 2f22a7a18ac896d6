"""The learning-curve picture: loss and score by epoch, written as PNG."""

from __future__ import annotations

import io
import logging
import os
import warnings

import chainrule as cr
from chainrule._command.errors import CommandError, UsageError

__all__ = ["check_picture_path", "mark", "replace_file", "write_learning_curve"]

_KIND = "learning curve"
_MARK_WITHIN = 1024  # bytes of the file's start

# Distinct for color-blind eyes, and by lightness in gray.
_TRAINING, _HELD_OUT = "#0b5394", "#d1701a"


def mark(kind: str) -> str:
    """Return what is written into pictures of a kind; a file without it is not ours to replace."""
    return f"chainrule {kind}"


def check_place(path: str, option: str) -> bool:
    """Return whether `path` exists.

    Raises
    ------
    UsageError
        If it does not, and no file can be written there.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"{option} {path}: there is no folder {folder}")
    exists = os.path.lexists(path)
    if not exists and not os.access(folder, os.W_OK):
        raise UsageError(f"{option} {path}: the folder {folder} cannot be written to")
    return exists


def check_picture_path(path: str, option: str = "--plot", kind: str = _KIND) -> bool:
    """Return whether `path` holds an older picture of that kind, which will be replaced.

    Raises
    ------
    UsageError
        If no picture can be written there, or something else would be overwritten.
    """
    if not path.lower().endswith(".png"):
        raise UsageError(f"{option} {path}: expected a name that ends in .png")
    if not check_place(path, option):
        return False
    try:
        with open(path, "rb") as file:
            ours = mark(kind).encode() in file.read(_MARK_WITHIN)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from None
    if not ours:
        raise UsageError(
            f"{option} {path}: the file exists and is no {kind} of chainrule; "
            f"move it away or give another {option} PATH"
        )
    return True


def write_learning_curve(
    path: str,
    title: str,
    loss_name: str,
    score_name: str,
    history: cr.History,
    baseline: str,
) -> None:
    """Draw the curves of a training and write them to `path`.

    Parameters
    ----------
    path : str
        Ends in .png; an older file is replaced whole or not at all.
    title : str
    loss_name, score_name : str
        For the axes.
    history : History
        With validation data.
    baseline : str
        Score of the trivial prediction, in words.

    Raises
    ------
    CommandError
        If the file cannot be written.
    """
    # On a slow first run matplotlib says that it looks for fonts; that is not this command's news.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    # The canvas is named outright: no display is needed, and no global backend is changed.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    loss, held_out_loss = history.loss, history.validation_loss
    held_out_score = history.validation_score
    epochs = range(1, len(loss) + 1)
    marker = "o" if len(loss) == 1 else None  # a line of one point cannot be seen
    figure = Figure(figsize=(9, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)  # it holds the user's file name
    loss_axes, score_axes = figure.subplots(1, 2)

    loss_axes.plot(epochs, loss, color=_TRAINING, marker=marker, label="training")
    loss_axes.plot(epochs, held_out_loss, color=_HELD_OUT, marker=marker, label="held-out")
    loss_axes.set_ylabel(f"loss ({loss_name})")
    positive = [value for value in (*loss, *held_out_loss) if value > 0]
    if len(positive) == 2 * len(loss) and max(positive) > 10 * min(positive):
        loss_axes.set_yscale("log")

    score_axes.plot(epochs, held_out_score, color=_HELD_OUT, marker=marker)
    score_axes.set_ylabel(score_name)
    # In words: a line at 0.1 would press the curve against the top.
    score_axes.set_title(f"last epoch {held_out_score[-1]:.4f}; {baseline}", fontsize="small")
    loss_axes.set_title(
        f"last epoch {loss[-1]:.3g}, held-out {held_out_loss[-1]:.3g}", fontsize="small"
    )
    loss_axes.legend()

    for axes in (loss_axes, score_axes):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)

    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a file name in any script
        figure.savefig(picture, format="png", metadata={"Software": mark(_KIND)})
    replace_file(path, picture.getvalue())


def replace_file(path: str, content: bytes) -> None:
    """Write `content` to `path`; a full disk or Ctrl-C leaves the older file whole."""
    partial = f"{path}.part"
    try:
        try:
            with open(partial, "xb") as file:
                file.write(content)
            os.replace(partial, path)
        except BaseException:
            if os.path.exists(partial):
                os.remove(partial)
            raise
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
