"""Files are replaced whole or not at all, whatever fails and whoever else writes."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from chainrule._files import storage

OLD, NEW = b"old" * 1000, b"new" * 1500
CALLS = (
    *("open", "fchmod", "write", "lseek", "fsync", "replace", "link", "unlink"),
    *("stat", "lstat", "fstat"),
)


def replace(path, data=NEW, **settings):
    half, end = len(data) // 2, len(data) - 5
    pieces = [data[:half], b"", data[half:end], b"-----"]
    storage.replace_file(str(path), pieces, afterwards=lambda: (end, data[end:]), **settings)


class Faulty:
    """Stands for the module os: the k-th of its calls does something else.

    Parameters
    ----------
    k : int
        Counted from 0 over the calls in CALLS.
    act : callable
        Called with the call itself, in its place.
    system : module or object, default: os
    calls : sequence of str, default: CALLS
    """

    def __init__(self, k, act, system=os, calls=CALLS):
        self.left, self.act, self.happened = k, act, None
        self.system, self.calls = system, calls

    def __getattr__(self, name):
        value = getattr(self.system, name)
        if name not in self.calls:
            return value

        def call(*arguments, **settings):
            self.left -= 1
            if self.left != -1:
                return value(*arguments, **settings)
            self.happened = name
            return self.act(lambda: value(*arguments, **settings))

        return call


def fail_with(number):
    def act(call):
        raise OSError(number, os.strerror(number))

    return act


def interrupt_before(call):
    raise KeyboardInterrupt


def interrupt_after(call):
    call()
    raise KeyboardInterrupt


ACTS = {
    "full": fail_with(errno.ENOSPC),
    "broken": fail_with(errno.EIO),
    "refused": fail_with(errno.EACCES),
    "interrupt-before": interrupt_before,
    "interrupt-after": interrupt_after,
}


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("act", ACTS)
def test_every_call_may_fail(act, overwrite, tmp_path, monkeypatch):
    path = tmp_path / "file"
    k, failed = 0, set()
    while True:
        if overwrite:
            path.write_bytes(OLD)
        elif path.exists():
            path.unlink()
        faulty = Faulty(k, ACTS[act])
        monkeypatch.setattr(storage, "os", faulty)
        try:
            replace(path, overwrite=overwrite)
        except (OSError, KeyboardInterrupt):
            failed.add(faulty.happened)
        else:
            assert path.read_bytes() == NEW
        monkeypatch.undo()
        if faulty.happened is None:
            break
        if overwrite:
            assert path.read_bytes() in (OLD, NEW)
        else:
            assert not path.exists() or path.read_bytes() == NEW
        # A file whose removal itself failed is removed by the next.
        left = {p.name for p in tmp_path.iterdir()} - {"file"}
        assert left <= {".file.0.tmp"}
        if faulty.happened in ("write", "lseek", "fsync", "fchmod", "replace", "link"):
            assert not left
        replace(path, OLD)
        assert [p.name for p in tmp_path.iterdir()] == ["file"]
        k += 1
    assert k > 12
    assert {"open", "write", "fsync", "replace" if overwrite else "unlink"} <= failed


def test_short_writes_are_completed(tmp_path, monkeypatch):
    faulty = Faulty(-1, None)
    faulty.write = lambda handle, piece: os.write(handle, piece[:7])
    monkeypatch.setattr(storage, "os", faulty)
    replace(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NEW


# Forks in a process of its own: newer Pythons warn of a fork beside threads.
KILLED = """
import itertools, os, signal, sys
from pathlib import Path
import test_storage
from test_storage import NEW, OLD, Faulty, replace, storage

path, overwrite = Path(sys.argv[1]), sys.argv[2] == "replace"
seen = set()
for k in itertools.count():
    if overwrite:
        path.write_bytes(OLD)
    else:
        path.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        def act(call):
            try:
                if k % 2:
                    call()
            finally:
                os.kill(os.getpid(), signal.SIGKILL)

        storage.os = Faulty(k // 2, act)
        replace(path, overwrite=overwrite)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status == 0:
        break
    assert status == signal.SIGKILL, status
    content = path.read_bytes() if path.exists() else None
    assert content in (OLD if overwrite else None, NEW)
    seen |= {content, len(list(path.parent.iterdir()))}
    replace(path)
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]
# Killed early and late, with a temporary file beside the other one and without.
assert {NEW, OLD if overwrite else None, 1, 2} <= seen
print(k)
"""


@pytest.mark.parametrize("how", ["replace", "create"])
def test_killed_before_and_after_every_call(how, tmp_path):
    here = str(Path(__file__).parent)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "file"), how],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 25


@contextmanager
def limit_of_file_size(n_bytes):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_does_not_fit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with limit_of_file_size(2048), pytest.raises(OSError, match="File too large"):
        replace(path)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_may_not_be_written():
    folder = Path(tempfile.mkdtemp())
    path = folder / "file"
    path.write_bytes(OLD)
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may write everywhere
        with pytest.raises(PermissionError):
            replace(path)
    finally:
        os.seteuid(user)
    assert path.read_bytes() == OLD
    assert list(folder.iterdir()) == [path]
    folder.chmod(0o755)
    path.unlink()
    folder.rmdir()


def test_places_where_no_file_can_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        replace(tmp_path / "missing" / "file")
    with pytest.raises(IsADirectoryError):
        replace(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="Is not a regular file"):
        replace(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(storage.ModelFileError, match="pipe' is not a regular file"):
        storage.read_file(str(tmp_path / "pipe"))
    with pytest.raises(IsADirectoryError):
        storage.read_file(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_an_old_file_is_not_overwritten_unless_told(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace(path, OLD, overwrite=False)
    with pytest.raises(FileExistsError, match="file"):
        replace(path, overwrite=False)
    # Made by somebody else after the first look.
    monkeypatch.setattr(storage, "_mode_of_replaceable", lambda *arguments: None)
    with pytest.raises(FileExistsError, match="file"):
        replace(path, overwrite=False)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_links(tmp_path, monkeypatch):
    faulty = Faulty(-1, None)
    faulty.link = lambda *arguments: fail_with(errno.EPERM)(None)
    monkeypatch.setattr(storage, "os", faulty)
    path = tmp_path / "file"
    replace(path, overwrite=False)
    assert path.read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_followed_and_permissions_kept(tmp_path):
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "file", tmp_path / "link"
    real.write_bytes(OLD)
    real.chmod(0o640)
    link.symlink_to(real)
    replace(link)
    assert link.is_symlink()
    assert real.read_bytes() == NEW
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert {p.name for p in tmp_path.rglob("*")} == {"far", "file", "link"}
    previous = os.umask(0o027)
    try:
        replace(tmp_path / "another")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "another").stat().st_mode) == 0o640


def test_what_another_process_writes_is_left_alone(tmp_path):
    path, other = tmp_path / "file", tmp_path / ".file.0.tmp"
    other.write_bytes(b"half")
    with other.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        replace(path)
        assert path.read_bytes() == NEW
        assert other.read_bytes() == b"half"
    replace(path, OLD)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_too_many_writers(tmp_path):
    held = [(tmp_path / f".file.{i}.tmp").open("wb") for i in range(16)]
    for file in held:
        fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="More than 16 processes are writing") as raised:
        replace(tmp_path / "file")
    assert raised.value.errno == errno.EBUSY
    for file in held:
        file.close()
    replace(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.fcntl, "flock", lambda *arguments: fail_with(errno.ENOLCK)(None))
    path, abandoned, recent = (tmp_path / name for name in ("file", ".file.0.tmp", ".file.1.tmp"))
    for temporary in (abandoned, recent):
        temporary.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    replace(path)
    assert path.read_bytes() == NEW
    assert {p.name for p in tmp_path.iterdir()} == {"file", ".file.1.tmp"}


def test_a_folder_that_cannot_be_synchronized(tmp_path, monkeypatch):
    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    faulty = Faulty(-1, None)
    faulty.fsync = fsync
    monkeypatch.setattr(storage, "os", faulty)
    replace(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NEW


def test_many_writers_and_readers_at_once(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([i]) * (10_000 + i) for i in range(8)]
    replace(path, contents[0])
    torn, errors, done = [], [], threading.Event()

    def write(content):
        try:
            for _ in range(30):
                replace(path, content)
        except OSError as error:
            errors.append(error)

    def read():
        while not done.is_set():
            found = storage.read_file(str(path))
            if found not in contents:
                torn.append(found)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert torn == errors == []
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
