"""What libraries import, and commands do not use: half of what redis-py and Typer's help cost.

Only the command line is spared it. Workers, and what runs in them, get the libraries as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

ASYNC = "redis.asyncio"
METRICS = "opentelemetry.sdk.metrics"  # 60 modules, for metrics that redis-py would make
MARKDOWN = "rich.markdown"


def install() -> None:
    """Spare this process the asynchronous redis-py, and its metrics."""
    if not any(isinstance(finder, _Spared) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Spared())


def import_help() -> None:
    """Import what shows Typer's help without a parser of Markdown: helps are no Markdown here."""
    if MARKDOWN not in sys.modules:
        stand_in = ModuleType(MARKDOWN)
        stand_in.__dict__["Markdown"] = type("Markdown", (), {})
        sys.modules[MARKDOWN] = stand_in
        try:
            import_module("typer.rich_utils")
        finally:
            del sys.modules[MARKDOWN]


class _Spared(MetaPathFinder):
    """Finds the two modules in its own way, and leaves all others to Python."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == METRICS and _is_imported_half("redis"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name != ASYNC:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _AtFirstUse(spec.loader)
        return spec


class _AtFirstUse(Loader):
    """Runs a package's own code when a name of it is asked for; modules in it are found before."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        def ask(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if module.__dict__.pop("__getattr__", None) is not None:
                self.loader.exec_module(module)
            return getattr(module, name)

        module.__dict__["__getattr__"] = ask


def _is_imported_half(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not hasattr(module, "__version__")
