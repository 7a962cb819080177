"""What the libraries of the local warehouse say, as ours says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from sql.errors import WarehouseRefused, WarehouseUnreachable

NO_DOWNLOADS = {"autoinstall_known_extensions": False, "allow_community_extensions": False}
"""How DuckDB is opened: it refuses a statement that would fetch code, and run it."""


_FRAMES = re.compile(r"\n\s+0: ")


@contextmanager
def refusals() -> Iterator[None]:
    """Say as ours what the libraries say as theirs."""
    try:
        yield
    except CommitFailedError:
        raise
    except (duckdb.IOException, OSError) as error:
        raise WarehouseUnreachable(f"The local warehouse cannot be read: {_said(error)}") from error
    except (duckdb.Error, DeltaError, pa.ArrowException) as error:
        raise WarehouseRefused(
            f"The local warehouse refuses the statement: {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    """Without the frames of a library's stack, which RUST_BACKTRACE adds."""
    return _FRAMES.split(str(error), maxsplit=1)[0]
