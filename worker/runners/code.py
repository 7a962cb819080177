"""Which code is in a folder: its commit, whether it was changed since, and a mark of its files.

Before a backfill one wants to know which code will run, and after it which ran. Git is asked, and
may not be there: then that is what is said.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from planner.files import MB, read_capped

GIT_SECONDS = 20.0  # for one answer, in a large working tree on a slow disk
CODE = ("*.py", "*.sh", "*.sql", "*.toml", "*.json", "*.yaml", "*.yml")  # that git may not know
SUFFIXES = frozenset(Path(pattern).suffix for pattern in CODE) - {".json"}
"""Of files that count where git does not tell code from data: scripts write JSON."""
FILES_MAX = 20_000  # without git: a folder with more is no folder of scripts
FILE_BYTES = 64 * MB
NOT_CODE = frozenset({"node_modules", "__pycache__", "venv", "logs"})
MARK_CHARS = 16
COMMIT_CHARS = 12
CHANGES_CHARS = 6  # of a hash of what is not committed: enough to see that it changed again


def code_of(folder: Path) -> str:
    """`1a2b3c4d5e6f, clean`; or why it is not known. Writes nothing.

    Files that git does not know count when they are code: scripts leave logs and the like.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()[:COMMIT_CHARS]
        changes = _git(folder, "diff", "HEAD", "--", ".")
        changes += _git(folder, "ls-files", "--others", "--exclude-standard", "--", *CODE)
        if not changes.strip():
            return f"{commit}, clean"
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return f"not known: {said[-1] if said else 'git failed'}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not known: {error}"
    mark = hashlib.sha256(changes).hexdigest()[:CHANGES_CHARS]
    return f"{commit}, with changes that are not committed ({mark})"


def _git(folder: Path, *arguments: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise FileNotFoundError("there is no git on the PATH")
    return subprocess.run(
        [git, "-C", str(folder), *arguments],
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # beside others that work in it
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=GIT_SECONDS,
    ).stdout


def mark_of(folder: Path, also: Iterable[Path] = ()) -> str:
    """A mark of the files of a folder, by content, and of other files; empty where unreadable.

    `git:…` of what git knows there, and of code that it does not; without git, or outside of a
    repository, `files:…` of the code files.
    """
    try:
        listed = _git(folder, "ls-files", "-z", "--cached", "--", ".")
        patterns = [f"*{suffix}" for suffix in sorted(SUFFIXES)]
        listed += _git(folder, "ls-files", "-z", "-o", "--exclude-standard", "--", *patterns)
    except (OSError, subprocess.SubprocessError):
        return _mark("files", folder, _walk(folder), also)
    names = {os.fsdecode(name) for name in listed.split(b"\0") if name}
    return _mark("git", folder, (folder / name for name in names), also)


def files_of(words: Iterable[Path]) -> str:
    """The mark of those words of a command that name files of code; empty when none does."""
    named = [path for path in words if path.suffix in SUFFIXES and path.is_file()]
    return _mark("files", None, named, ()) if named else ""


def _walk(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in NOT_CODE
            and not (Path(at) / name / "pyvenv.cfg").exists()
        ]
        yield from (Path(at) / name for name in files if Path(name).suffix in SUFFIXES)


def _mark(kind: str, folder: Path | None, files: Iterable[Path], also: Iterable[Path]) -> str:
    found: dict[str, str] = {}
    try:
        for path in (*files, *(each for each in also if each.suffix in SUFFIXES)):
            if path.is_file():  # what git knows may have been deleted
                name = path.name if folder is None else os.path.relpath(path, folder)
                found[name] = hashlib.sha256(read_capped(path, FILE_BYTES)).hexdigest()
            if len(found) > FILES_MAX:
                return ""
    except OSError:
        return ""
    content = "\n".join(f"{name} {mark}" for name, mark in sorted(found.items()))
    return f"{kind}:{hashlib.sha256(content.encode()).hexdigest()[:MARK_CHARS]}" if found else ""
