"""A plan is a file that anybody may hand in: it is what was planned, or it is refused."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.commands.plan import MANY_CHUNKS, chunk_lines
from planner.errors import BadPlan
from planner.gaps.gaps import GapReason
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.choose import choose
from planner.plan.chunks import chunk
from planner.plan.parse import parse_plan, read_plan
from planner.plan.plan import LATER, Plan, make_plan, step_id
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days, window
from tests.unit.worlds import World, bounded, costly


def planned(of: Pipeline, cover: eg.Cover, scope: Window, **options: Any) -> Plan:
    assessment = eg.judge(of, cover, scope)
    options.setdefault("phases", worlds.phases_of(of))
    repair = choose(of, assessment, scope=scope, **options)
    busy = [each for each in assessment.window.days() if assessment.is_due("raw", each)]
    chunks = chunk(of, repair.todo, busy, size=2)
    return make_plan(
        of, assessment, repair, chunks, warehouse="local:w", scope=scope, reason="a test"
    )


@pytest.fixture(scope="module")
def plan() -> Plan:
    """One hole before reports of four days, and one report that lacks its window."""
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 30))
    eg.empty(cover, "clean", day(2), day(10))
    eg.empty(cover, "report", day(5))
    return planned(of, cover, window(4, 10))


def said(content: Any) -> str:
    with pytest.raises(BadPlan) as refused:
        parse_plan(content, where="plan.json")
    return str(refused.value)


# -- what it says ----------------------------------------------------------------------------


def test_a_plan_has_a_step_per_phase_of_each_chunk_in_phase_order(plan: Plan) -> None:
    assert [(name, step.dates) for name, step in plan.steps()] == [
        ("2024-01-11/clean", (day(10),)),
        ("2024-01-11/report", (day(10),)),
        ("2024-01-12..2024-01-13/report", (day(11), day(12))),
        ("2024-01-14/report", (day(13),)),
    ]
    assert plan.steps_total == 4
    assert not plan.is_empty


def test_a_plan_of_hundreds_of_chunks_is_told_of_larger_ones(plan: Plan) -> None:
    many = plan.model_copy(update={"chunks": plan.chunks[:1] * MANY_CHUNKS})

    (line,) = chunk_lines(many)

    assert line.startswith("200 chunks of 1 date at most: --chunk-dates 7 has")
    assert chunk_lines(plan) == []


def test_a_task_says_why_which_tables_and_how_many_there_should_be(plan: Plan) -> None:
    clean, report = (step.tasks[0] for step in plan.chunks[0].steps)

    assert (clean.reason, clean.tables) == (GapReason.MISSING, ("shop.clean",))
    assert clean.expected == {"order": 4, "item": 4}
    assert (report.reason, report.tables) == (GapReason.CASCADE, ("shop.report",))


def test_a_plan_says_what_it_leaves_and_why(plan: Plan) -> None:
    (left,) = plan.skipped

    assert (left.phase, left.date, left.reason) == ("report", day(5), "upstream_missing")
    assert "clean 2024-01-03 is missing" in left.detail


def test_the_reach_of_a_plan_is_its_scope_and_its_cascade(plan: Plan) -> None:
    assert plan.scope == window(4, 10)
    assert plan.reach == window(4, 13)


def test_cascades_are_the_dates_that_turn_wrong_whether_the_plan_takes_them_or_not() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 30))
    eg.empty(cover, "clean", day(10))

    taken = planned(of, cover, window(0, 20))
    owing = planned(of, cover, window(0, 20), phases=["clean"])

    assert taken.owed == {}
    assert owing.owed == {"report": tuple(days(10, 13))}
    assert (
        {name: set(each) for name, each in taken.recompute.items()}
        == {name: set(each) for name, each in owing.recompute.items()}
        == {"report": set(days(10, 13))}
    )


def test_a_plan_with_nothing_to_do_is_empty() -> None:
    of = eg.pipeline()

    empty = planned(of, eg.covered(of, days(0, 9)), window(0, 9))

    assert empty.is_empty
    assert empty.steps_total == 0
    assert empty.reach == empty.scope


def test_a_plan_is_for_one_pipeline_and_one_warehouse(plan: Plan) -> None:
    of = eg.rolling(3)

    assert (plan.pipeline, plan.pipeline_checksum) == (of.name, of.checksum)
    assert plan.warehouse == "local:w"
    assert plan.pipeline_checksum != eg.rolling(4).checksum


def test_a_step_is_known_by_its_chunk_and_phase() -> None:
    assert step_id("2024-01-01..2024-01-04", "clean") == "2024-01-01..2024-01-04/clean"


# -- the file --------------------------------------------------------------------------------


def test_a_plan_that_is_written_and_read_is_the_same(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.as_json(), indent=1))

    assert read_plan(path) == plan
    assert json.loads(path.read_text())["steps_total"] == plan.steps_total


@pytest.mark.parametrize(
    "edit",
    [
        lambda plan: plan.update(reason="another"),
        lambda plan: plan.update(warehouse="local:elsewhere"),
        lambda plan: plan.update(checksum=""),
        lambda plan: plan.update(skipped=[]),
        lambda plan: plan.update(chunks=plan["chunks"][1:]),
        lambda plan: plan["chunks"][0]["steps"][0].update(phase="report"),
        lambda plan: plan["chunks"][0]["steps"][0].update(end="2024-02-01"),
        lambda plan: plan["chunks"][0]["steps"][0]["tasks"][0].update(expected={"order": 1}),
        lambda plan: plan["scope"].update(end="2024-02-01"),
    ],
)
def test_an_edited_plan_is_refused(plan: Plan, edit: Any) -> None:
    content = plan.as_json()
    edit(content)

    assert said(content) == ("plan.json was edited: its checksum does not match. Make a new plan.")


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda plan: plan.update(extra=1), "extra: "),
        (lambda plan: plan.pop("chunks"), "chunks: "),
        (lambda plan: plan.update(scope={"start": "2024-01-02", "end": "2024-01-01"}), "scope: "),
        (lambda plan: plan["scope"].update(start="2024-02-30"), "scope.start: "),
        (lambda plan: plan["chunks"][0]["steps"][0].pop("phase"), "chunks.0.steps.0.phase: "),
    ],
)
def test_what_is_not_a_plan_is_told_with_its_place(plan: Plan, edit: Any, place: str) -> None:
    content = plan.as_json()
    edit(content)

    assert said(content).startswith(f"plan.json is not a plan: {place}")


def test_a_plan_of_another_format_is_refused_as_such(plan: Plan) -> None:
    assert "has format 2; this version reads format 1" in said({**plan.as_json(), "format": 2})


@pytest.mark.parametrize("content", [None, [], 1, "plan", True, {}])
def test_json_that_is_no_plan_is_refused(content: Any) -> None:
    text = said(content)

    assert text.startswith("plan.json is not a plan: ")
    assert ": :" not in text


@pytest.mark.parametrize(
    "text",
    ["", "{", "plan", "[" * 100_000, '{"a":' * 100_000, "1" * 5000],
    ids=["empty", "cut off", "words", "deep array", "deep object", "huge number"],
)
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(BadPlan, match=r"is not JSON: make one with `planner plan --out FILE`"):
        read_plan(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadPlan, match="is not JSON"):
        read_plan(path)


@pytest.mark.parametrize("depth", [100, 300, 900, 1100, 50_000])
def test_json_of_any_depth_is_refused(depth: int) -> None:
    content: Any = 1
    for _ in range(depth):
        content = [content]

    assert "is not a plan" in said({"chunks": content})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadPlan, match="cannot be read"):
            read_plan(path)


# -- properties ------------------------------------------------------------------------------


@costly
@given(data=st.data(), broken=worlds.broken_worlds())
def test_every_plan_survives_the_file(
    data: st.DataObject, broken: tuple[World, eg.Cover, list[tuple[str, date]]]
) -> None:
    world, cover, _ = broken
    made = planned(
        world.pipeline,
        cover,
        data.draw(worlds.scopes()),
        phases=data.draw(worlds.some_phases(world.pipeline)),
    )

    assert parse_plan(json.loads(json.dumps(made.as_json())), where="plan.json") == made


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(["plan_id", "scope", "chunks", "start", "dates"]) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@bounded
@given(content=VALUES)
def test_whatever_json_is_handed_in_is_refused_in_words(content: Any) -> None:
    assert "plan.json is not a plan" in said(content)


@bounded
@given(data=st.data())
def test_a_plan_with_one_part_exchanged_is_refused(plan: Plan, data: st.DataObject) -> None:
    content: Any = plan.as_json()
    place = content
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys).filter(lambda key: key != "steps_total"))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    was = place[key]
    place[key] = data.draw(VALUES)
    # An equal value is no change, nor is a number for the same number, or a date for its text.
    try:
        read = parse_plan(content, where="plan.json")
    except BadPlan:
        return
    place[key] = was
    assert read == plan


@costly
@given(data=st.data(), broken=worlds.broken_worlds())
def test_every_gap_is_in_one_step_or_is_left_with_a_reason(
    data: st.DataObject, broken: tuple[World, eg.Cover, list[tuple[str, date]]]
) -> None:
    world, cover, _ = broken
    scope = data.draw(worlds.scopes())
    phases = data.draw(worlds.some_phases(world.pipeline))
    held = dict.fromkeys(data.draw(st.just([]) | worlds.some(world)), "run-1")

    made = planned(world.pipeline, cover, scope, phases=phases, in_flight=held)

    taken = [(step.phase, day) for _, step in made.steps() for day in step.dates]
    left = [(each.phase, each.date) for each in made.skipped]
    gaps = {
        (name, day)
        for name in phases
        for day in eg.judge(world.pipeline, cover, scope).gaps[name]
        if day in scope
    }
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(left)
    assert gaps <= {*taken, *left}
    assert all(each.reason for each in made.skipped)
    # and what is taken beside is done because of it: it was complete
    cascades = {(name, day) for name, days in made.recompute.items() for day in days}
    assert {*taken} - gaps <= cascades
    # and a plan whose phases are all that can be run leaves only what others hold
    if not held and set(phases) == set(worlds.phases_of(world.pipeline)) and scope == worlds.SCOPE:
        assert gaps <= {*taken}


def test_a_plan_of_before_is_read_though_fields_came_later(plan: Plan) -> None:
    content = plan.model_dump(mode="json", exclude={"checksum", *LATER})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    checksum = hashlib.sha256(canonical.encode()).hexdigest()

    assert parse_plan({**content, "checksum": checksum}, where="plan.json") == plan
