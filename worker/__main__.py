"""Celery's command for this app, which runs no code of the current folder.

    python -P -m worker worker --concurrency 4
    python -P -m worker alive

`celery -A worker.app` puts the current folder first on the path, and so runs a `worker.py` or an
`httpx.py` that happens to stand there. `-P` keeps Python from doing it, and `main` keeps Celery.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext

from worker.processes import alive


def main() -> None:
    """Run one of Celery's commands, such as `worker`; or `alive`, for health checks."""
    if sys.argv[1:2] == ["alive"]:  # before Celery is imported, which costs more than the check
        raise SystemExit(alive.check(sys.argv[2:]))
    from celery.utils import imports

    from planner.settings import misspelt

    if "worker" in sys.argv[1:]:
        from worker.processes import output

        output.install()
    imports.cwd_in_path = nullcontext  # what Celery imports by name is all installed
    for told in misspelt():
        print(told, file=sys.stderr)
    from worker.app import app

    app.start(sys.argv[1:])


if __name__ == "__main__":
    main()
