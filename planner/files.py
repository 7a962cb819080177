"""Files of others, read whole up to a limit, and files of ours, written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

MB = 1_000_000


def read_capped(path: Path, limit: int) -> bytes:
    """A file's bytes. Raises `OSError`, also when it holds more than `limit` of them."""
    blocks, left = [], limit
    with path.open("rb") as file:
        while block := file.read(MB):  # reading all at once would reserve `limit` of memory
            blocks.append(block)
            left -= len(block)
            if left < 0:
                raise OSError(errno.EFBIG, f"it holds more than {limit:,} bytes", str(path))
    return b"".join(blocks)


def write_whole(path: Path, text: str) -> None:
    """Write a file, for its owner alone, so that no reader sees half of it."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder, and every one above it that is missing, for its owner alone."""
    if not path.is_dir():
        for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
            missing.mkdir(exist_ok=True, mode=0o700)
        path.mkdir(exist_ok=True)  # raises what is wrong, such as a file of that name


def private(path: str, flags: int) -> int:
    """For `open(…, opener=private)`: a file that is made is for its owner alone."""
    return os.open(path, flags, 0o600)
