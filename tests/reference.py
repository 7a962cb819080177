"""The reference in docs/, written from the code itself: `make reference`.

`commands.md` and `fields.md` are written whole. On the other pages what stands between `<!-- made
from NAME -->` and `<!-- end -->` is: the keys of a model, the settings, or the members of an enum.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from pydoc import locate
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from planner.cli import COMMANDS
from planner.pipeline.model import Model
from planner.plan.plan import Plan
from planner.report.message import Message
from planner.report.report import Report
from planner.report.restored import RestoreReport
from planner.settings import PREFIX, Settings
from planner.validation.baseline import Baseline, Comparison
from tests.docstrings import told_below

DOCS = Path(__file__).parents[1] / "docs"
TOP = """# Commands

What the help of each command says, on one page, in the order of `planner --help`; `make reference`
writes it. What `--json` prints, and the exit codes, [stand apart](json.md).
"""
FIELDS_TOP = """# Fields of JSON documents

Every field of the documents that are models in the code, with its type; `make reference` writes
this page. [JSON](json.md) shows each document with values, and those that no model has. Where a
field's name says all, nothing else does.
"""
DOCUMENTS: dict[type[BaseModel], str] = {
    Plan: "A plan: `planner plan --json`, and the file of `--out`.",
    Report: "A report: `planner report --json`, with `causes` beside it.",
    RestoreReport: "A restore: `planner restore --json`.",
    Message: "What `BACKFILL_NOTIFY` is given.",
    Baseline: "`planner validate --json`, and what `--save` keeps.",
    Comparison: "`planner compare --json`.",
}
OFF = (None, False, True, (), [])
BLOCK = re.compile(r"(<!-- made from (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page() -> str:
    """docs/commands.md: a section a command, with its examples and its options."""
    parts = [TOP]
    for lazy in COMMANDS:
        if lazy.hidden:
            continue
        command = lazy.load()
        for below, each in getattr(command, "commands", {"": command}).items():
            examples = lazy.examples if each is command else ()
            parts.append("\n".join(_section(f"{lazy.name} {below}".strip(), each, examples)))
    return "\n".join(parts)


def _section(title: str, command: Any, examples: tuple[str, ...]) -> Iterator[str]:
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    yield f"## `planner {title}`\n"
    yield f"{inspect.cleandoc(command.help or '').strip()}\n"
    if examples:
        yield from ("```console", *(f"$ {example}" for example in examples), "```\n")
    options = [each for each in shown if each not in arguments]
    if arguments or options:
        yield "| option | what it does |\n|---|---|"
        for each in arguments:
            name = each.name.upper()
            yield _row(name if each.required else f"[{name}]", each)
        yield from (_row(", ".join([*each.opts, *each.secondary_opts]), each) for each in options)
        yield ""


def _row(names: str, parameter: Any) -> str:
    told = _cell(" ".join((parameter.help or "").split()))
    default = "" if parameter.default in OFF else f" Default: `{parameter.default}`."
    return f"| `{names}` | {told}{default} |"


def fields_page() -> str:
    """docs/fields.md: a section a model, below the document that has it."""
    parts, seen = [FIELDS_TOP], set[type[BaseModel]]()
    for document, told in DOCUMENTS.items():
        for model in models(document):
            if model not in seen:
                seen.add(model)
                parts.append("\n".join(_fields(model, told if model is document else "")))
    return "\n".join(parts)


def _fields(model: type[BaseModel], told: str) -> Iterator[str]:
    own = (model.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
    yield f"## `{model.__name__}`\n"
    yield f"{told or own}\n"
    yield "| field | type | meaning |\n|---|---|---|"
    for name, field in model.model_fields.items():
        meaning = _cell(told_below(model).get(name, ""))
        yield f"| `{field.alias or name}` | {_cell(_type(field.annotation))} | {meaning} |"
    yield ""


def written(text: str) -> str:
    """A page with every block made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{block(found[2])}\n\n{found[3]}", text)


def block(name: str) -> str:
    """The table of a model or an enum by its full name."""
    kind: Any = locate(name)
    assert kind is not None, f"there is no {name}"
    if issubclass(kind, Enum):
        return "\n".join(_members(kind))
    if issubclass(kind, Settings):
        return "\n".join(_settings())
    return "\n".join(_keys(kind))


def _keys(model: type[Model]) -> Iterator[str]:
    yield "| key | default | meaning |\n|---|---|---|"
    for key, field in model.known_keys().items():
        (name,) = (each for each, of in model.model_fields.items() if of is field)
        yield f"| `{key}` | {_default(field)} | {_cell(told_below(model)[name])} |"


def _settings() -> Iterator[str]:
    yield "| variable | default | meaning |\n|---|---|---|"
    for name, field in Settings.model_fields.items():
        default = _default(field).replace('"', "")
        yield f"| `{PREFIX}{name.upper()}` | {default} | {_cell(told_below(Settings)[name])} |"


def _members(kind: type[Enum]) -> Iterator[str]:
    is_code = issubclass(kind, int)
    yield f"| {'code' if is_code else 'name'} | meaning |\n|---|---|"
    for member in kind:
        shown = member.value if is_code else f"`{member.value}`"
        yield f"| {shown} | {_cell(told_below(kind)[member.name])} |"


def _default(field: FieldInfo) -> str:
    """A default as the documents write it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or (not value and isinstance(value, tuple | dict)):
        return "none"
    if isinstance(value, Path):
        return f"`{value}`"
    shown = f"{value:g}" if value.__class__ is float and value >= 2 else json.dumps(value)
    return f"`{shown}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _type(annotation: Any) -> str:
    """A field's type as JSON has it, in words; a model by a link to its section."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _type(inside[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(each) for each in inside))
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in inside)
    if origin in (tuple, list, frozenset, set) or annotation is tuple:
        items = [_type(each) for each in inside if each is not Ellipsis]
        return f"list of {' and '.join(dict.fromkeys(items))}" if items else "list"
    if inside:
        return f"object: {_type(inside[0])} → {_type(inside[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{each.value}`" for each in annotation)
    known = {"str": "text", "int": "number", "float": "number", "bool": "true or false"}
    known |= {"NoneType": "null", "datetime": "time", "date": "date", "dict": "object"}
    name = getattr(annotation, "__name__", str(annotation))
    return known.get(name, "any value")


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model, and every model that its fields hold."""
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            yield from models(part)


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _parts(argument)


def pages() -> dict[Path, str]:
    """Every page of the reference → what it should say."""
    whole = {DOCS / "commands.md": page(), DOCS / "fields.md": fields_page()}
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
    return {path: written(text) for path, text in texts.items() if BLOCK.search(text)} | whole


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
