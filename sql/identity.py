"""The identity of a folder: what tells it apart from any other, however its path is spelt.

An id of the folder's own is kept in it, since a path tells nothing: a link, a mount and a container
each spell one folder another way, and two machines may spell two folders alike.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

ID_FILE = ".backfill-id"
"""Random, made when it is first asked for. It holds nothing else and is never rewritten."""

_ID = re.compile(r"[0-9a-f]{32}")
_ID_BYTES = 64  # of the file are read: the id and a line's end, with room to see that it is none
_MODE = 0o644  # workers may run as other users than the planner


def folder_identity(folder: str | Path, *, make: bool = False) -> str:
    """The id of `folder`; empty where it has none.

    With `make`, one is made where there is none; where none can be written, the real path.

    A copy of the folder has the id of the original until `.backfill-id` is removed from the copy.
    Nothing about the file tells a copy apart everywhere: inode numbers are made up anew by each
    mount on FUSE, some SMB mounts and Docker Desktop, where two workers of one folder would each
    take the other's id for a copy's; modification times go along with `cp -a` and `rsync -a`.
    """
    path = Path(folder) / ID_FILE
    found = _read(path)
    if found is not None or not make:
        return found or ""
    return _made(path) or os.path.realpath(folder)


def _read(path: Path) -> str | None:
    if not path.is_file():  # a pipe of that name would be waited for
        return None
    with suppress(OSError), path.open("rb") as file:
        text = file.read(_ID_BYTES).decode("ascii", "replace").strip()
        if _ID.fullmatch(text):
            return text
    return None


def _made(path: Path) -> str | None:
    """Make the id, or read the one that another process has made meanwhile.

    The file is linked to its name when it is complete: a rename would replace the id that another
    process has just told. Delta's commits are made by hard links too, so where a folder can hold
    tables it can hold links.
    """
    own = path.with_name(f"{ID_FILE}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except OSError:  # not there, or not ours to write
        return None
    try:
        with suppress(OSError):  # FileExistsError: another process was first
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), _MODE)  # the umask may have taken some of it
                file.write(secrets.token_hex(16).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(own, path)
    finally:
        with suppress(OSError):
            own.unlink()
    return _read(path)
