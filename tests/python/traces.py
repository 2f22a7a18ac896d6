"""What Python runs within a call: how many functions, and an interrupt at each line of some."""

import linecache
import sys


def python_calls(function):
    """Return how many calls of Python's functions a call makes."""
    n_calls = 0

    def count(frame, event, argument):
        nonlocal n_calls
        n_calls += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return n_calls


def interrupt_at(line, is_counted, function):
    """Call `function`, with Ctrl-C at the `line`-th line of frames that count, 0 for at none.

    Returns how many such lines ran.
    """
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if not is_counted(frame.f_code):
            return None
        # CPython may leave a bare "try:" out of the block around it; no signal comes there.
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and text.strip() != "try:":
            seen += 1
            if seen == line:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        assert 0 < line <= seen
    finally:
        sys.settrace(before)
    return seen
