"""Files that ship, and plans of ours, damaged in every way: read, or refused in words, and soon."""

from __future__ import annotations

import copy
import json
import time
import tomllib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.errors import BadPipeline, BadPlan, UsageError
from planner.pipeline.load import FILE_BYTES, SHIPPED, load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.plan.parse import parse_plan, read_plan
from planner.plan.plan import Plan
from planner.validation.baseline import Baseline
from planner.validation.baseline import read as read_baseline
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days, window
from tests.unit.test_plan import planned
from tests.unit.worlds import World

FILES = {path.stem: path.read_bytes() for path in sorted(SHIPPED.glob("*.toml"))}
CONTENTS = {name: tomllib.loads(text.decode()) for name, text in FILES.items()}
SECONDS = 30.0  # of processor time, as the machine is shared; no file takes one
MEMORY = 100_000_000

HOSTILE: list[Any] = [
    *(None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**4000, -(10**4000), 1e308, 0.1),
    *(
        float("nan"),
        float("inf"),
        "",
        " ",
        "\x00",
        "\n",
        "\x1b[2J",
        "\u202e",
        "../../x",
        "..",
        "a" * 10_000,
    ),
    *(
        "'; DROP TABLE x; --",
        "`x`",
        "${HOME}",
        "{start}",
        "$(id)",
        "x\ty",
        "[red]",
        "<script>",
    ),
    *(date(1, 1, 1), date(9999, 12, 31), datetime(2024, 1, 1), clock(1)),
    *([], {}, [[]], [{}], {"": ""}, {"name": {}}, [1, "a", None]),
]
OTHERS = st.integers() | st.floats() | st.text(max_size=20)
HALF = "\ud800"  # of a character: an escape in JSON, refused by whatever reads TOML
PARTS = st.sampled_from(HOSTILE) | OTHERS
JSON_PARTS = (
    st.sampled_from([*(p for p in HOSTILE if not isinstance(p, date | clock)), HALF]) | OTHERS
)


@contextmanager
def bounded() -> Iterator[None]:
    """Soon, and within memory."""
    began = time.process_time()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < SECONDS


def places(content: Any) -> list[list[Any]]:
    """The way to everything in it."""
    found: list[list[Any]] = []
    todo: list[tuple[list[Any], Any]] = [([], content)]
    while todo:
        way, here = todo.pop()
        if way:
            found.append(way)
        keys = (
            here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        )
        todo += [([*way, key], here[key]) for key in keys]
    return found


def change(content: Any, way: list[Any], how: str, part: Any) -> None:
    """Damage one place."""
    *above, last = way
    for key in above:
        content = content[key]
    if how == "exchange":
        content[last] = part
    elif how == "remove":
        del content[last]
    elif isinstance(content, dict):  # misspell, or add
        word = str(last)
        content[word[:-1] + "x" if how == "misspell" else str(part)[:50]] = content[last]
    else:
        content.insert(0, copy.deepcopy(content[last]) if how == "misspell" else part)


@st.composite
def damaged(draw: st.DrawFn, content: Any, parts: st.SearchStrategy[Any] = PARTS) -> Any:
    """A copy with up to three places damaged."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        ways = places(content)
        if ways:
            how = draw(st.sampled_from(["exchange", "remove", "misspell", "add"]))
            change(content, draw(st.sampled_from(ways)), how, copy.deepcopy(draw(parts)))
    return content


@st.composite
def spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with some of them exchanged, lost, doubled or put in."""
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(content)))
        last = draw(st.integers(first, min(len(content), first + 40)))
        new = draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"\x00", b"\xff", b"[", b"]", b"{", b"'''", b'"', b"\\u", b"\n", b"=", b"9" * 5000]
            )
            | st.just(content[first:last] * 2)
        )
        content = content[:first] + new + content[last:]
    return content


def read_or_refuse(path: str) -> Pipeline | None:
    """A pipeline; None when it was refused, and nothing else may happen."""
    try:
        return load_pipeline(path)
    except BadPipeline:
        return None


def check(of: Pipeline) -> None:
    """What is read can be used."""
    assert Pipeline.model_validate_json(of.model_dump_json()) == of
    assert of.checksum
    assert of.lookback_total.days >= 0


# -- pipeline files --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@pytest.mark.quick("sales")
def test_a_spoiled_pipeline_file_is_read_or_refused(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "spoiled.toml"
    path.write_bytes(data.draw(spoiled(FILES[name])))

    with bounded():
        of = read_or_refuse(str(path))
    if of is not None:
        check(of)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@pytest.mark.quick("nba", "shop")
def test_a_damaged_pipeline_is_read_or_refused(
    name: str,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Past TOML: as if it could say anything."""
    content = data.draw(damaged(CONTENTS[name]))
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    path.write_text("")

    with bounded(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.pipeline.load.tomllib.loads", lambda text: content)
        of = read_or_refuse(str(path))
    if of is not None:
        check(of)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 200_000,
        "a = " + "[\n" * 200_000 + "]\n" * 200_000,
        "a." * 100_000 + "b = 1",
        "[" + "a." * 100_000 + "b]",
        "".join(f"[a{n}{'.a' * 1_900}]\n" for n in range(50)),
        "[[a]]\n" * 20_000,
        "a = " + "9" * 500_000,
        "a = 0x" + "f" * 500_000,
        "a = 1e" + "9" * 500_000,
        "a = nan\nb = inf",
        'a = "' + "\\u0000" * 100_000 + '"',
        "name = '" + "x" * 900_000 + "'",
        "x" * 900_000 + " = 1",
        "\n".join(f"k{n} = 1" for n in range(20_000)),
        "\n" * (FILE_BYTES + 1),
        "# \x00",
        "'\udc80' = 1",
        "a = 9999-99-99",
    ],
    ids=range(18),
)
def test_a_file_that_takes_long_is_refused_soon(tmp_path: Path, text: str) -> None:
    (tmp_path / "hostile.toml").write_text(text, encoding="utf-8", errors="surrogateescape")

    with bounded(), pytest.raises(BadPipeline) as refused:
        load_pipeline(str(tmp_path / "hostile.toml"))

    assert len(str(refused.value)) < 10_000_000


# -- plans -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan() -> Plan:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 30))
    eg.empty(cover, "clean", day(2), day(10))
    return planned(of, cover, window(4, 10))


@given(data=st.data())
def test_a_damaged_plan_is_the_same_or_refused(plan: Plan, data: st.DataObject) -> None:
    content = data.draw(damaged(plan.as_json(), JSON_PARTS))

    with bounded():
        try:
            found = parse_plan(content, where="plan.json")
        except BadPlan:
            return
    assert found == plan  # 1 for 1.0, and the like


@given(data=st.data())
def test_a_plan_with_any_byte_changed_is_the_same_or_refused(
    plan: Plan, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "plan.json"
    path.write_bytes(data.draw(spoiled(json.dumps(plan.as_json()).encode())))

    with bounded():
        try:
            found = read_plan(path)
        except BadPlan:
            return
    assert found == plan  # white space


def test_every_single_character_of_a_plan_counts(plan: Plan) -> None:
    """None can be changed into another digit or letter, wherever it stands."""
    text = json.dumps(plan.as_json())
    for place in range(0, len(text), 7):
        for other in "1z":
            if not text[place].isalnum() or text[place] == other:
                continue
            edited = text[:place] + other + text[place + 1 :]
            try:
                content = json.loads(edited)
            except ValueError:
                continue
            if content.get("steps_total") != plan.steps_total:
                continue  # told for people, and worked out again
            with pytest.raises(BadPlan):
                parse_plan(content, where="plan.json")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        '{"chunks":' * 100_000,
        "9" * 100_000,
        "NaN",
        '"\\ud800"',
        "\x00",
        "{" * 9,
        "1e999999",
    ],
    ids=range(8),
)
def test_a_plan_file_that_is_hostile_is_refused_soon(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)

    with bounded(), pytest.raises(BadPlan):
        read_plan(tmp_path / "plan.json")


@given(data=st.data())
def test_whoever_makes_a_plan_by_hand_makes_it_whole(plan: Plan, data: st.DataObject) -> None:
    """With a checksum that fits, what cannot be in a plan of ours is refused all the same."""
    content = data.draw(damaged(plan.model_dump(mode="json"), JSON_PARTS))
    try:
        made = Plan.model_validate_json(json.dumps(content)).sealed()
    except ValueError:
        return
    try:
        found = parse_plan(made.as_json(), where="plan.json")
    except BadPlan:
        return
    for chunk in found.chunks:
        assert "/" not in chunk.id
        assert all(step.dates == chunk.dates for step in chunk.steps)
        assert all(step.phase.isascii() and step.phase.isprintable() for step in chunk.steps)


@worlds.costly
@given(broken=worlds.broken_worlds())
def test_a_plan_comes_back_from_its_file(
    broken: tuple[World, eg.Cover, list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    world, cover, _ = broken
    made = planned(world.pipeline, cover, worlds.SCOPE)
    path = tmp_path_factory.getbasetemp() / "whole.json"
    path.write_text(json.dumps(made.as_json()))

    assert read_plan(path) == made


# -- baselines -------------------------------------------------------------------------------


@given(
    content=st.binary(max_size=200) | st.sampled_from([b"[" * 99_999, b"NaN", b'{"pipeline": 1}'])
)
@example(content=b"")
def test_whatever_is_handed_in_as_a_baseline_is_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "baseline.json"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="is not a baseline"):
        read_baseline(path.parent, str(path))
    assert Baseline.model_fields
