"""Files are replaced whole or not at all on Windows too, whose rules a stand-in for os keeps."""

import errno
import os
import subprocess
import sys

import pytest
from test_storage import ACTS, NEW, OLD, Faulty, replace

from chainrule._files import storage


class Windows:
    """Stands for the module os, and refuses what Windows refuses.

    There a file that is open can be neither removed nor renamed nor replaced, `rename` replaces
    nothing, folders cannot be opened, a file is text unless O_BINARY says otherwise, and some calls
    and flags are missing.
    """

    MISSING = ("O_DIRECTORY", "O_NOFOLLOW", "fchmod")
    O_BINARY = 1 << 30

    def __init__(self):
        self.paths = {}  # of the files that are open

    def __getattr__(self, name):
        if name in self.MISSING:
            raise AttributeError(name)
        return getattr(os, name)

    def refuse_open(self, *paths):
        if not {*paths}.isdisjoint(self.paths.values()):
            raise PermissionError(errno.EACCES, "The process cannot access the file", *paths)

    def open(self, path, flags, mode=0o777):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        assert flags & self.O_BINARY
        handle = os.open(path, flags & ~self.O_BINARY, mode)
        self.paths[handle] = path
        return handle

    def close(self, handle):
        os.close(handle)
        del self.paths[handle]

    def unlink(self, path):
        self.refuse_open(path)
        os.unlink(path)

    def replace(self, source, target):
        self.refuse_open(source, target)
        os.replace(source, target)

    def rename(self, source, target):
        self.refuse_open(source)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", source, target)
        os.rename(source, target)


@pytest.fixture
def windows(monkeypatch):
    system = Windows()
    monkeypatch.setattr(storage, "os", system)
    monkeypatch.setattr(storage, "fcntl", None)
    monkeypatch.setattr(storage, "_BINARY", Windows.O_BINARY)
    monkeypatch.setattr(storage, "_PATIENCE", 0.2)
    yield system
    assert not system.paths


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("act", ACTS)
def test_every_call_may_fail(act, overwrite, tmp_path, windows, monkeypatch):
    path = tmp_path / "file"
    calls = ("open", "write", "lseek", "fsync", "close", "replace", "rename", "unlink", "stat")
    k, failed = 0, set()
    while True:
        if overwrite:
            path.write_bytes(OLD)
        else:
            path.unlink(missing_ok=True)
        faulty = Faulty(k, ACTS[act], windows, calls)
        monkeypatch.setattr(storage, "os", faulty)
        try:
            replace(path, overwrite=overwrite)
        except (OSError, KeyboardInterrupt):
            failed.add(faulty.happened)
        else:
            assert path.read_bytes() == NEW
        monkeypatch.setattr(storage, "os", windows)
        if faulty.happened is None:
            break
        if faulty.happened in ("open", "close"):  # as if the process had ended
            for handle in list(windows.paths):
                windows.close(handle)
        if overwrite:
            assert path.read_bytes() in (OLD, NEW)
        else:
            assert not path.exists() or path.read_bytes() == NEW
        left = [p for p in tmp_path.iterdir() if p != path]
        if faulty.happened in ("write", "lseek", "fsync", "replace", "rename"):
            assert not left
        for temporary in left:
            assert temporary.name == ".file.0.tmp"
            os.utime(temporary, (0, 0))
        replace(path, OLD)
        assert [p.name for p in tmp_path.iterdir()] == ["file"]
        k += 1
    assert k > 24
    assert {"write", "fsync"} <= failed


def test_what_somebody_writes_or_is_about_to_rename_is_left_alone(tmp_path, windows):
    path, open_one, recent, abandoned = (
        tmp_path / name for name in ("file", ".file.0.tmp", ".file.1.tmp", ".file.2.tmp")
    )
    for temporary in (open_one, recent, abandoned):
        temporary.write_bytes(b"half")
    for temporary in (open_one, abandoned):
        os.utime(temporary, (0, 0))
    handle = windows.open(str(open_one), os.O_WRONLY | windows.O_BINARY)
    replace(path)
    windows.close(handle)
    assert path.read_bytes() == NEW
    assert {*tmp_path.iterdir()} == {path, open_one, recent}


def test_a_reader_is_waited_for(tmp_path, windows, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    handle = windows.open(str(path), os.O_RDONLY | windows.O_BINARY)
    with pytest.raises(PermissionError):
        replace(path)
    assert path.read_bytes() == OLD
    assert [*tmp_path.iterdir()] == [path]
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            windows.close(handle)

    monkeypatch.setattr(storage.time, "sleep", sleep)
    replace(path)
    assert len(waits) == 3
    assert path.read_bytes() == NEW


def test_a_file_made_meanwhile_is_not_replaced(tmp_path, windows, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(storage, "_mode_of_replaceable", lambda *arguments: None)
    with pytest.raises(FileExistsError, match="file"):
        replace(path, overwrite=False)
    assert path.read_bytes() == OLD
    assert [*tmp_path.iterdir()] == [path]


# Every way to the disk, in a process where fcntl cannot be imported.
WITHOUT_FCNTL = """
import sys

sys.modules["fcntl"] = None
import numpy as np

import chainrule as cr
from chainrule._files import storage

assert storage.fcntl is None
x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
y = x[:, :1]
model = cr.MLP([3, 8, 1], seed=0)
model.fit(x, y, loss="mse", epochs=4, callbacks=[cr.Checkpoint("checkpoint")])
model.save("model")
model.save("model")
assert (cr.MLP.load("model").parameters == model.parameters).all()
again = cr.MLP([3, 8, 1], seed=0)
again.fit(x, y, loss="mse", epochs=4, resume_from="checkpoint")
assert (again.parameters == model.parameters).all()
"""


def test_the_package_saves_and_loads_where_fcntl_cannot_be_imported(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_FCNTL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"model", "checkpoint"}
