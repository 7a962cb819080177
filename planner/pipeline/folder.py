"""The pipeline files of a fleet: the one of the settings, and those of a folder beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from planner.errors import BadPipeline
from planner.pipeline.load import SHIPPED, load_pipeline, shipped
from planner.pipeline.pipeline import Pipeline

log = logging.getLogger(__name__)


def pipeline_paths(setting: str, folder: Path | None) -> list[str]:
    """The files of a fleet, as this machine names them: that of the setting first."""
    own = str(SHIPPED / f"{setting}.toml") if setting in shipped() else setting
    paths = sorted(folder.expanduser().absolute().glob("*.toml")) if folder else []
    return list(dict.fromkeys([str(Path(own).expanduser().absolute()), *map(str, paths)]))


def pipeline_files(setting: str, folder: Path | None) -> Iterator[tuple[str, Pipeline]]:
    """Every file that can be read, and its pipeline.

    One that cannot be used is logged and left: a fleet does not stand still for one of its files.
    """
    for path in pipeline_paths(setting, folder):
        try:
            yield path, load_pipeline(path)
        except BadPipeline as error:
            _say_once(" ".join(str(error).split()))


@cache
def _say_once(why: str) -> None:
    log.warning("a pipeline file is left out: %s", why)
