"""Which code is in a folder: its commit, and whether it was changed since.

Before a backfill one wants to know which code will run, and after it which ran. Git is asked, and
may not be there: then that is what is said.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

GIT_SECONDS = 20.0  # for one answer, in a large working tree on a slow disk
CODE = ("*.py", "*.sh", "*.sql", "*.toml", "*.json", "*.yaml", "*.yml")  # that git may not know
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
