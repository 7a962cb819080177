"""Reads files whole up to a limit, and writes files atomically: whole or not at all.

A path that a user names may be a link, a pipe or a device. Links are followed, pipes and devices
stay what they are, and none of them is waited for without end.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import select
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MB = 1_000_000
PIPE_SECONDS = 10.0  # for the process at a pipe's other end to write something


def closed(path: Path) -> str:
    """`FOLDER may not be read by user 10001`, where that keeps this process from a file or folder,
    which may well be there; empty where nothing does."""
    path = path.absolute()
    for place in (*reversed(path.parents), path):
        if not os.path.lexists(place):
            break  # it is not closed: it is not there
        needed = os.X_OK if place.is_dir() else os.R_OK  # a folder need not be listed
        if not os.access(place, needed, effective_ids=os.access in os.supports_effective_ids):
            return f"{place} may not be read by user {os.geteuid()}"
    return ""


def read_capped(path: Path, limit: int) -> bytes:
    """A file's bytes, or a pipe's, less a byte order mark. Raises `OSError`.

    It is one, too, when the file is a device, holds more than `limit`, or nothing comes.
    """
    # Not blocking: opening a pipe without a writer would wait for one.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(handle).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind) or stat.S_ISDIR(kind)):
            raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
        return _read(handle, path, limit, is_pipe=stat.S_ISFIFO(kind))
    finally:
        os.close(handle)


def _read(handle: int, path: Path, limit: int, *, is_pipe: bool) -> bytes:
    blocks, left = [], limit
    while True:
        try:
            block = os.read(handle, MB)  # reading all at once would reserve `limit` of memory
        except BlockingIOError:  # a pipe that is held open for writing, and empty now
            if select.select([handle], [], [], PIPE_SECONDS)[0]:
                continue
            why = f"it wrote nothing for {PIPE_SECONDS:g} s"
            raise OSError(errno.ETIMEDOUT, why, str(path)) from None
        if not block:
            break
        blocks.append(block)
        left -= len(block)
        if left < 0:
            raise OSError(errno.EFBIG, f"it holds more than {limit:,} bytes", str(path))
    if is_pipe and not blocks:
        raise OSError(errno.ENODATA, "no process writes to this pipe", str(path))
    return b"".join(blocks).removeprefix(codecs.BOM_UTF8)  # some editors for Windows write one


def write_whole(path: Path, text: str) -> None:
    """Write a file, for its owner alone, so that no reader sees half of it.

    A link is followed. A pipe or a device is written into, never replaced. Raises `OSError`.
    """
    if path.exists() and not path.is_file():
        _write_into(path, text)
        return
    path = Path(os.path.realpath(path))
    if path.is_symlink():  # only a link that leads to itself is left
        raise OSError(errno.ELOOP, "it is a link that leads to itself", str(path))
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as when the disk is full
            error.filename = str(path)
        raise


def _write_into(path: Path, text: str) -> None:
    """Write into a pipe or a character device; anything else is refused."""
    if path.is_block_device():
        raise OSError(errno.EINVAL, "it is a disk, not a file", str(path))
    try:
        # Not blocking: opening a pipe without a reader would wait for one.
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(errno.ENXIO, "no process reads from it", str(path)) from None
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb", buffering=0) as file:
        left = memoryview(text.encode())
        while left:
            left = left[file.write(left) or 0 :]


def make_folder(path: Path) -> None:
    """Make a folder, and every one above it that is missing, for its owner alone."""
    if not path.is_dir():
        for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
            missing.mkdir(exist_ok=True, mode=0o700)
        path.mkdir(exist_ok=True)  # raises what is wrong, such as a file of that name


def private(path: str, flags: int) -> int:
    """For `open(…, opener=private)`: a file that is made is for its owner alone."""
    return os.open(path, flags, 0o600)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While the block runs, no other process is in a block of the same folder."""
    with open(folder / ".lock", "w", opener=private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel gives it back, however this process ends
        yield
