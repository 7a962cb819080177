"""Delta tables as other engines write them, byte by byte: nothing of `deltalake` makes them.

Written by the Delta protocol: "Deletion Vectors", "Column Mapping" and "Add File", and by the
specification of Roaring bitmaps.
"""

from __future__ import annotations

import json
import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

_MAGIC = 1681511377
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    """Base 85 with the alphabet of ZeroMQ; `data` is filled up to fours."""
    filled = data + b"\0" * (-len(data) % 4)
    text = ""
    for (number,) in struct.iter_unpack(">I", filled):
        text += "".join(_Z85[number // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return text


def bitmap(rows: Sequence[int]) -> bytes:
    """A 64-bit Roaring bitmap of few small numbers: one array container."""
    header = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16)
    container = header + struct.pack(f"<{len(rows)}H", *sorted(rows))
    return struct.pack("<IQI", _MAGIC, 1, 0) + container


@dataclass
class Foreign:
    """A table of another engine in `place`."""

    place: Path
    schema: list[Mapping[str, Any]]
    partitions: Sequence[str] = ()
    features: Sequence[str] = ()
    configuration: Mapping[str, str] = field(default_factory=dict)
    version: int = 0

    def __post_init__(self) -> None:
        (self.place / "_delta_log").mkdir(parents=True)
        own = {"readerFeatures": [*self.features], "writerFeatures": [*self.features]}
        versions = (3, 7) if self.features else (1, 2)
        self.commit(
            {
                "protocol": {
                    "minReaderVersion": versions[0],
                    "minWriterVersion": versions[1],
                    **(own if self.features else {}),
                }
            },
            self._metadata(),
        )

    def add_column(self, **column: Any) -> None:
        self.schema = [*self.schema, column]
        self.commit(self._metadata())

    def file(self, path: str, rows: pa.Table) -> str:
        (self.place / path).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(rows, self.place / path)
        return path

    def add(
        self,
        path: str,
        partition: Mapping[str, str | None],
        rows: int,
        vector: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a file; again with a deletion vector, as an UPDATE or a DELETE does."""
        action: dict[str, Any] = {
            "path": path,
            "partitionValues": partition,
            "size": (self.place / path).stat().st_size,
            "modificationTime": 1700000000000,
            "dataChange": True,
            "stats": json.dumps({"numRecords": rows, "tightBounds": vector is None}),
        }
        removed = []
        if vector:
            removed = [{"remove": {"path": path, "dataChange": True, "partitionValues": partition}}]
            action["deletionVector"] = vector
        self.commit(*removed, {"add": action})

    def inline(self, rows: Sequence[int]) -> Mapping[str, Any]:
        """A deletion vector in the log."""
        data = bitmap(rows)
        return {
            "storageType": "i",
            "pathOrInlineDv": z85(data),
            "sizeInBytes": len(data),
            "cardinality": len(rows),
        }

    def beside(self, rows: Sequence[int]) -> Mapping[str, Any]:
        """A deletion vector in a file of its own."""
        name, data = uuid.uuid4(), bitmap(rows)
        (self.place / f"deletion_vector_{name}.bin").write_bytes(
            b"\x01" + struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
        )
        return {
            "storageType": "u",
            "pathOrInlineDv": z85(name.bytes),
            "offset": 1,
            "sizeInBytes": len(data),
            "cardinality": len(rows),
        }

    def commit(self, *actions: Mapping[str, Any]) -> None:
        info = {"commitInfo": {"timestamp": 1700000000000 + self.version, "operation": "WRITE"}}
        lines = "".join(json.dumps(action) + "\n" for action in (info, *actions))
        (self.place / "_delta_log" / f"{self.version:020}.json").write_text(lines)
        self.version += 1

    def _metadata(self) -> Mapping[str, Any]:
        schema = json.dumps({"type": "struct", "fields": self.schema})
        return {
            "metaData": {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(self.place))),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema,
                "partitionColumns": [*self.partitions],
                "configuration": self.configuration,
                "createdTime": 1700000000000,
            }
        }


def column(name: str, kind: str, **metadata: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}
