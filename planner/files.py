"""Files that are read whole, though somebody else may have written them, and files of ours."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

MB = 1_000_000


def read_capped(path: Path, limit: int) -> bytes:
    """A file's bytes. Raises `OSError`, also when it holds more than `limit` of them."""
    with path.open("rb") as file:
        found = file.read(limit + 1)
    if len(found) > limit:
        raise OSError(errno.EFBIG, f"it holds more than {limit // MB} MB", str(path))
    return found


def write_whole(path: Path, text: str) -> None:
    """Write a file, for its owner alone, so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
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


def private(path: str, flags: int) -> int:
    """For `open(…, opener=private)`: a file that is made is for its owner alone."""
    return os.open(path, flags, 0o600)
