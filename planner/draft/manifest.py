"""Which table is made from which, by dbt's `target/manifest.json`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from planner.errors import UsageError
from planner.files import read_capped

MANIFEST_BYTES = 200_000_000


def parents_by_manifest(path: Path, tables: Collection[str]) -> dict[str, list[str]]:
    """Table → its nearest upstream tables among `tables`; models that are none of them are passed.

    Tables are matched by dataset and name, since the project is often a setting. Raises
    `UsageError` for a file that is no manifest, or names none of the tables.
    """
    nodes = _nodes(path)
    named = {".".join(name.split(".")[-2:]).lower(): name for name in tables}
    of_node = {key: named[rel] for key, node in nodes.items() if (rel := _relation(node)) in named}
    node_of = {name: key for key, name in of_node.items()}  # one, however many a manifest has
    if not of_node:
        raise UsageError(f"{path} names none of the tables: is it of another project or target?")
    return {name: list(dict.fromkeys(_above(nodes, of_node, key))) for name, key in node_of.items()}


def _nodes(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        found = json.loads(read_capped(path, MANIFEST_BYTES))
        nodes = {**found["sources"], **found["nodes"]}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(f"{path} is no manifest of dbt: `dbt parse` writes one.") from None
    return {str(key): node for key, node in nodes.items() if isinstance(node, dict)}


def _relation(node: Mapping[str, Any]) -> str:
    name = node.get("identifier") or node.get("alias") or node.get("name") or ""
    return f"{node.get('schema', '')}.{name}".lower()


def _above(
    nodes: Mapping[str, Mapping[str, Any]], of_node: Mapping[str, str], key: str
) -> Iterator[str]:
    """The nearest tables above a node."""
    seen: set[str] = set()
    left = deque(_depends_on(nodes, key))
    while left:
        each = left.popleft()
        if each in seen:
            continue
        seen.add(each)
        if each in of_node:
            yield of_node[each]
        else:
            left += _depends_on(nodes, each)


def _depends_on(nodes: Mapping[str, Mapping[str, Any]], key: str) -> list[str]:
    found = nodes.get(key, {}).get("depends_on")
    parents = found.get("nodes") if isinstance(found, dict) else None
    return [str(each) for each in parents] if isinstance(parents, list) else []
