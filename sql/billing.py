"""What BigQuery bills a query by. Pure, and cheap to import.

Source: https://cloud.google.com/bigquery/pricing#on_demand_pricing.
"""

from __future__ import annotations

# 1 TiB, about $6.25 on demand: far above a recount of years, far below an accident.
MAXIMUM_BYTES_BILLED = 1 << 40
"""What one job may bill unless told otherwise."""

MINIMUM_BYTES_BILLED = 10 << 20
"""What a query bills at least, per table that it reads, and for a look into INFORMATION_SCHEMA."""

_ROUNDED_TO_BYTES = 1 << 20


def billed_bytes(read: int) -> int:
    """What a query that reads so many bytes of its one table is billed as."""
    return max(MINIMUM_BYTES_BILLED, -(-read // _ROUNDED_TO_BYTES) * _ROUNDED_TO_BYTES)
