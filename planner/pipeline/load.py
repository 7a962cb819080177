"""Reads a pipeline file: by the name of one that ships, or by path."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from planner.errors import BadPipeline
from planner.files import MB, closed, read_capped
from planner.pipeline.model import in_words
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.statements import read_statement
from planner.pipeline.tables import EntitySpec
from sql.errors import WarehouseRefused

SHIPPED = Path(__file__).parent / "shipped"
FILE_BYTES = MB  # the largest that ships is 8 kB
LINE_CHARS = 4_000  # tomllib takes time by the square of the dots in a key


def load_pipeline(setting: str) -> Pipeline:
    """Read a shipped pipeline by name (`nba`), or a file by path.

    Raises `BadPipeline` with one line per mistake.
    """
    path = pipeline_path(setting)
    try:
        text = read_capped(path, FILE_BYTES).decode("utf-8")
    except OSError as error:
        raise BadPipeline(f"{path} cannot be read: {closed(path) or error.strerror}.") from None
    except ValueError as error:
        raise BadPipeline(f"{path} is not TOML: {error}.") from None
    pipeline = parse_pipeline(text, path)
    return pipeline.with_audits(_audits(pipeline, path))


def parse_pipeline(text: str, path: Path) -> Pipeline:
    """Read a pipeline file's text, without the audits that stand beside it; `path` is for errors.

    Raises `BadPipeline` with one line per mistake.
    """
    try:
        if any(len(line) > LINE_CHARS for line in text.splitlines()):
            raise ValueError(f"a line is longer than {LINE_CHARS:,} characters")
        return Pipeline.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise BadPipeline("\n".join(f"{path.name}: {line}" for line in _lines(error))) from None
    except (ValueError, RecursionError) as error:  # a number may be too long for Python, too
        raise BadPipeline(f"{path} is not TOML: {error}.") from None


def _audits(pipeline: Pipeline, path: Path) -> dict[str, str]:
    """Audit → the text of its statement."""
    texts: dict[str, str] = {}
    specs = (spec for phase in pipeline.phases for spec in phase.tables)
    for audit in dict.fromkeys(name for spec in specs for name in spec.audits):
        try:
            texts[audit] = read_statement(audit, path.absolute().parent).strip().rstrip(";")
        except (OSError, ValueError, WarehouseRefused):
            raise BadPipeline(
                f"{path.name}: there is no audit {audit!r}: put a query of that name beside the "
                "pipeline file."
            ) from None
    return texts


def shipped() -> list[str]:
    """Names of the pipeline files that ship."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def pipeline_path(setting: str) -> Path:
    """Where the pipeline file is. Raises `BadPipeline` when there is none."""
    if setting in shipped():
        return SHIPPED / f"{setting}.toml"
    try:
        path = Path(setting).expanduser()
        is_there, is_another = path.is_file(), path.exists()
    except (OSError, RuntimeError):  # a name that is too long, a home of no user
        is_there = is_another = False
    if not is_there and (why := _closed(setting)):
        raise BadPipeline(f"The pipeline file {setting!r} cannot be read: {why}.")
    if not is_there:
        other = ", only something else of that name" if is_another else ""
        raise BadPipeline(
            f"There is no pipeline file {setting!r}{other}: set BACKFILL_PIPELINE to a TOML file, "
            f"or to one that ships: {', '.join(shipped())}."
        )
    return path


def _closed(setting: str) -> str:
    try:
        return closed(Path(setting).expanduser())
    except (OSError, RuntimeError):  # as above
        return ""


def _lines(error: ValidationError) -> Iterator[str]:
    mistakes = error.errors(include_url=False)
    places = [mistake["loc"] for mistake in mistakes]
    for mistake in mistakes:
        above = len(mistake["loc"])
        if mistake["type"] == "too_short" and any(
            len(place) > above and place[:above] == mistake["loc"] for place in places
        ):
            continue  # follows from the errors of its items
        place, message = _place(mistake["loc"]), in_words(mistake)
        if mistake["type"] in OF_ANOTHER_KIND and _is_kind(mistake["loc"][-1]):
            if mistake["type"] == "string_type" or isinstance(mistake["input"], str):
                continue  # it is judged as the other kind beside
            message = f"{mistake['input']!r} is no column, and no table"
        yield f"{place}: {message}" if place else message


def _place(parts: tuple[int | str, ...]) -> str:
    """`phases[1].tables[2].date`, counted from one."""
    return "".join(
        f"[{part + 1}]" if isinstance(part, int) else f".{part}"
        for part in parts
        if not _is_kind(part) and part != "[key]"
    ).lstrip(".")


OF_ANOTHER_KIND = {"model_type", "string_type"}
"""What pydantic says of a table as a column's name, and of a name as a table."""


def _is_kind(part: int | str) -> bool:
    """Whether a part of an error's location is no key of the file, but the name of a kind."""
    return part == EntitySpec.__name__ or str(part).startswith("function-")
