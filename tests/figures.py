"""Which figures PromQL names, by Prometheus' own grammar: of the alert rules and the dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

DOCS = Path(__file__).parents[1] / "docs"


def alert_expressions() -> Iterator[str]:
    """What the alert rules watch."""
    for group in yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def dashboard_expressions() -> Iterator[str]:
    """What the dashboard's panels show."""
    for panel in json.loads((DOCS / "dashboard.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def alert_templates() -> Iterator[tuple[str, set[str]]]:
    """What the alert rules watch, and the labels that they tell."""
    for group in yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))


def dashboard_legends() -> Iterator[tuple[str, set[str]]]:
    """What the dashboard's panels show, and the labels in their legends."""
    for panel in json.loads((DOCS / "dashboard.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            yield target["expr"], set(re.findall(r"{{(\w+)}}", target["legendFormat"]))


def kept(expression: str, labels: set[str]) -> set[str]:
    """Which of a figure's labels are left when PromQL has summed it."""
    parsed: Any = promql_parser.parse(expression)
    parsed = getattr(parsed, "lhs", parsed)
    if isinstance(parsed, promql_parser.AggregateExpr):
        return set(parsed.modifier.labels) if parsed.modifier else set()
    return labels


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each figure, and the labels by which it is chosen or summed. Raises `ValueError` for what is
    no PromQL."""
    yield from _used(promql_parser.parse(expression), set())


def _used(part: Any, by: set[str]) -> Iterator[tuple[str, set[str]]]:
    if isinstance(part, promql_parser.VectorSelector):
        yield part.name, {each.name for each in part.matchers.matchers} | by
        return
    if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
        by = by | set(part.modifier.labels)
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(part, name, None)) is not None:
            yield from _used(inner, by)
    for inner in getattr(part, "args", ()):
        yield from _used(inner, by)
