"""The pipeline files of a fleet: the one of the settings, and those of a folder beside it."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from planner.errors import BadPipeline
from planner.pipeline.load import SHIPPED, load_pipeline, shipped
from planner.pipeline.pipeline import Pipeline
from planner.text import printable

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
    found, troubles = look(setting, folder)
    for trouble in troubles:
        _say_once(trouble)
    yield from found


def look(setting: str, folder: Path | None) -> tuple[list[tuple[str, Pipeline]], list[str]]:
    """Every file that can be read, and its pipeline; and what is not as it should be, in words."""
    found: list[tuple[str, Pipeline]] = []
    troubles = [] if folder is None or folder.expanduser().is_dir() else [f"there is no {folder}"]
    named: dict[str, tuple[str, str]] = {}
    for path in pipeline_paths(setting, folder):
        try:
            pipeline = load_pipeline(path)
        except BadPipeline as error:
            troubles.append(f"a pipeline file is left out: {error}")
            continue
        other, checksum = named.setdefault(pipeline.name, (path, pipeline.checksum))
        if checksum != pipeline.checksum:
            troubles.append(
                f"{other} and {path} are both named {pipeline.name}, so each holds the other's "
                "dates: give one of them another name"
            )
        found.append((path, pipeline))
    troubles += open_to_all(path for path, _ in found)
    return found, [printable(" ".join(trouble.split())) for trouble in troubles]


def open_to_all(paths: Iterable[str]) -> list[str]:
    """Of some files, which of them, or of their folders, every user of the machine may write to,
    in words: what stands there is run."""
    places = dict.fromkeys(place for path in paths for place in (Path(path), Path(path).parent))
    return [
        f"every user of this machine may write to {place}, which names what is run: chmod o-w "
        f"{place}"
        for place in places
        if _is_open(place)
    ]


def _is_open(place: Path) -> bool:
    try:
        mode = place.stat().st_mode
    except OSError:  # it is gone since
        return False
    is_kept = stat.S_ISDIR(mode) and mode & stat.S_ISVTX  # as in /tmp: files stay their owners'
    return bool(mode & stat.S_IWOTH) and not is_kept


@cache
def _say_once(why: str) -> None:
    log.warning("%s", why)
