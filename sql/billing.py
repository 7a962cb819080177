"""What BigQuery bills a query by. Pure, and cheap to import.

Source: https://cloud.google.com/bigquery/pricing#on_demand_pricing.
"""

from __future__ import annotations

import threading

# 1 TiB, about $6.25 on demand: far above a recount of years, far below an accident.
MAXIMUM_BYTES_BILLED = 1 << 40
"""What one job may bill unless told otherwise."""

MINIMUM_BYTES_BILLED = 10 << 20
"""What a query bills at least, per table that it reads, and for a look into INFORMATION_SCHEMA."""

_ROUNDED_TO_BYTES = 1 << 20


def billed_bytes(read: int, tables: int = 1) -> int:
    """What a query that reads so many bytes of its tables is billed as, at least.

    How much it reads of each is not told: where one is far larger than the minimum and others are
    far smaller, it is billed up to the minimum more for each of these.
    """
    rounded = -(-read // _ROUNDED_TO_BYTES) * _ROUNDED_TO_BYTES
    return max(MINIMUM_BYTES_BILLED * max(tables, 1), rounded)


class Meter:
    """Adds up what jobs were billed. Safe for threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, billed: int | None) -> None:
        """Add one job's bytes; None where it does not tell."""
        with self._lock:
            self.bytes += billed or 0
