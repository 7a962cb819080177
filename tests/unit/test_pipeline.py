"""What a pipeline file may say, and what a person is told when it says something else."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.errors import BadPipeline, Exit
from planner.pipeline.load import SHIPPED, load_pipeline, pipeline_path
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql.warehouse import Condition
from tests.unit import examples as eg
from tests.unit.worlds import bounded

GOOD = """
name = "shop"
[[seasons]]
name = "2024"
year = 2024
start = 2024-01-01
end = 2024-12-31
[[phases]]
name = "raw"
[[phases.tables]]
name = "shop.orders"
date = "day"
[[phases]]
name = "clean"
after = ["raw"]
[[phases.tables]]
name = "shop.clean"
date = "day"
[[phases.runners]]
kind = "script"
command = ["true"]
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Loads a file with some text replaced."""

    def loaded(old: str = "", new: str = "", *, text: str = GOOD) -> Pipeline:
        assert old in text
        path = tmp_path / "shop.toml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return load_pipeline(str(path))

    return loaded


def refusal(content: dict[str, Any]) -> str:
    """What is said about a file's content."""
    with pytest.raises(ValidationError) as refused:
        Pipeline.model_validate(content)
    return str(refused.value)


# -- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_pipeline_is_found_by_its_own_name(file: Path) -> None:
    assert pipeline_path(file.stem) == file
    assert load_pipeline(file.stem).name == file.stem


def test_a_file_is_found_by_path(load: Any) -> None:
    assert [phase.name for phase in load().phases] == ["raw", "clean"]


@pytest.mark.parametrize(
    "setting",
    [
        "nosuch",
        "",
        ".",
        "no/such.toml",
        "a\0b",
        "x" * 5000,
        "~nobody-of-this-name/x.toml",
        "../nba",
    ],
)
def test_a_file_that_is_not_there_says_which_ones_ship(setting: str) -> None:
    with pytest.raises(BadPipeline, match=r"no pipeline file .* BACKFILL_PIPELINE .* nba"):
        load_pipeline(setting)


@pytest.mark.parametrize(
    "text",
    [
        "name = ",
        "name = 'a'\nname = 'b'",
        "start = 2024-02-30",
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "{b=" * 5000,
        "\x00",
    ],
    ids=["cut off", "key twice", "impossible date", "deep array", "deep table", "NUL"],
)
def test_a_file_that_is_not_toml_is_refused(load: Any, text: str) -> None:
    with pytest.raises(BadPipeline, match="shop.toml is not TOML: "):
        load(text=text)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadPipeline, match="is not TOML"):
        load_pipeline(str(path))


def test_a_refused_file_is_bad_usage() -> None:
    assert BadPipeline.exit is Exit.USAGE


# -- keys and types --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'name = "shop"',
            'name = "shop"\nchunk_date = 7',
            "unknown key 'chunk_date'; did you mean 'chunk_dates'?",
        ),
        ("year = 2024", "yaer = 2024", "seasons[1]: unknown key 'yaer'; did you mean 'year'?"),
        (
            'after = ["raw"]',
            'afer = ["raw"]',
            "phases[2]: unknown key 'afer'; did you mean 'after'?",
        ),
        (
            'name = "shop.clean"',
            'name = "shop.clean"\nmin_covrage = 1.0',
            "phases[2].tables[1]: unknown key 'min_covrage'; did you mean 'min_coverage'?",
        ),
        (
            'command = ["true"]',
            'command = ["true"]\nenvironment = {}',
            "phases[2].runners[1].script: unknown key 'environment'; "
            "known keys: note, values, kind, command, check, cwd, env, outcomes, resume",
        ),
    ],
)
def test_an_unknown_key_is_told_with_its_place_and_the_nearest_known_one(
    load: Any, old: str, new: str, said: str
) -> None:
    with pytest.raises(BadPipeline) as refused:
        load(old, new)

    assert str(refused.value) == f"shop.toml: {said}"


def test_every_mistake_has_its_line(load: Any) -> None:
    text = GOOD.replace("year = 2024", "year = 12").replace('date = "day"', 'date = "d a y"')

    with pytest.raises(BadPipeline) as refused:
        load(text=text)

    lines = str(refused.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "seasons[1].year",
        "phases[1].tables[1].date",
        "phases[2].tables[1].date",
    ]


ENTITIES = 'date = "day"'
SMALL = "write a small letter, then small letters, digits, _ or -, 40 at most"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "shop"', 'name = "My Shop"', f"name: 'My Shop': {SMALL}"),
        (ENTITIES, 'entities = { store = "a b" }', "entities.store: 'a b' is not a column's name"),
        (ENTITIES, "entities = { store = 3 }", "entities.store: 3 is no column, and no table"),
        (
            ENTITIES,
            "entities = { store = { wher = 1 } }",
            "entities.store: unknown key 'wher'; did you mean 'where'?",
        ),
        (ENTITIES, 'entities = { Store = "s" }', f"entities.Store: 'Store': {SMALL}"),
    ],
)
def test_a_mistake_is_told_once_in_words_without_a_regular_expression(
    load: Any, old: str, new: str, said: str
) -> None:
    with pytest.raises(BadPipeline) as refused:
        load(text=GOOD.replace(old, f"{old}\n{new}" if old == ENTITIES else new, 1))

    (line,) = str(refused.value).splitlines()
    assert line.endswith(said)


@pytest.mark.parametrize(
    "options",
    [
        {"name": 7},
        {"name": "Shop"},
        {"name": "shop\n"},
        {"name": "s" * 41},
        {"chunk_dates": 0},
        {"chunk_dates": "many"},
        {"chunk_dates": 1.5},
        {"chunk_dates": 10**30},
        {"bootstrap_days": -1},
        {"seasons": []},
        {"seasons": {"name": "2024"}},
        {"seasons": ["2024"]},
        {"exclude": [{"start": eg.day(0), "end": eg.day(0)}]},
        {"exclude": [{"start": eg.day(0), "end": eg.day(0), "reason": "two\nlines"}]},
        {"phases": [eg.phase("raw")]},
    ],
    ids=repr,
)
def test_values_of_the_wrong_type_or_size_are_refused(options: dict[str, Any]) -> None:
    assert next(iter(options)) in refusal(eg.content(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"lookback_days": -1},
        {"lookback_days": 3661},
        {"concurrency": 0},
        {"retries": -1},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("inf")},
        {"timeout_seconds": float("nan")},
        {"retry_seconds": float("inf")},
        {"tables": []},
        {"queue": "a queue"},
        {"runners": [{"kind": "bash", "command": ["true"]}]},
        {"runners": [{"kind": "script", "command": []}]},
        {"runners": [{"kind": "script", "command": "true"}]},
        {"runners": [{"kind": "script", "command": ["a\nb"]}]},
        {"runners": [{"kind": "script", "command": ["a\0b"]}]},
        {"runners": [{"kind": "sql", "statements": [""]}]},
        {"runners": [{"command": ["true"]}]},
    ],
    ids=repr,
)
def test_options_of_a_phase_have_bounds(options: dict[str, Any]) -> None:
    phases = [eg.phase("raw"), eg.phase("clean", "raw", **options)]

    assert f"phases.1.{next(iter(options))}" in refusal(eg.content(*phases))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "all"])
def test_min_coverage_is_a_share(share: object) -> None:
    phases = [eg.phase("raw", tables=[eg.table("raw", min_coverage=share)]), eg.phase("c", "raw")]

    assert "min_coverage" in refusal(eg.content(*phases))


@pytest.mark.parametrize(
    "limits",
    [{"writers": 0}, {"daily_writes": 0}, {"writes_per_date": 0}, {"writers": 1.5}],
    ids=repr,
)
def test_limits_of_a_table_have_bounds(limits: dict[str, Any]) -> None:
    phases = [eg.phase("raw"), eg.phase("c", "raw", tables=[eg.table("c", **limits)])]

    assert next(iter(limits)) in refusal(eg.content(*phases))


def test_a_date_that_no_day_could_afford_is_refused() -> None:
    table = eg.table("c", daily_writes=3, writes_per_date=4)

    assert "no date could ever be run" in refusal(
        eg.content(eg.phase("raw"), eg.phase("c", "raw", tables=[table]))
    )


def test_a_table_has_one_limit_wherever_it_stands() -> None:
    phases = [
        eg.phase("raw"),
        eg.phase("c", "raw", tables=[eg.table("t", writers=1)]),
        eg.phase("d", "c", tables=[eg.table("t", writers=2)]),
    ]

    assert "limited in two ways" in refusal(eg.content(*phases))


# -- names -----------------------------------------------------------------------------------

HOSTILE = [
    "",
    " ",
    "a`b",
    'a"b',
    "a'b",
    "a;DROP TABLE b",
    "a b",
    "a--b c",
    "a\nb",
    "a\n",
    "a\0b",
    "a/*b",
    "../a",
    "a/../b",
    "{date}",
    "@start_date",
    "ä",
    "a\\b",
    "a)",
]


@pytest.mark.parametrize("name", [*(f"shop.{bad}" for bad in HOSTILE), "orders", "a.b.c.d", "a..b"])
def test_a_table_is_nothing_but_a_name(name: str) -> None:
    phases = [eg.phase("raw", tables=[{"name": name, "date": "day"}]), eg.phase("clean", "raw")]

    assert "is not a table's name: write dataset.table" in refusal(eg.content(*phases))


@pytest.mark.parametrize("name", [*HOSTILE, "a.b", "1a", "a" * 301])
@pytest.mark.parametrize("place", ["date", "entity", "where"])
def test_a_column_is_nothing_but_a_name(place: str, name: str) -> None:
    options: dict[str, Any] = {
        "date": {"date": name},
        "entity": {"entities": {"order": name}},
        "where": {"where": {name: 1}},
    }[place]
    phases = [eg.phase("raw", tables=[eg.table("raw", **options)]), eg.phase("clean", "raw")]

    assert "is not a column's name" in refusal(eg.content(*phases))


@pytest.mark.parametrize("name", ["shop.orders", "my-project.shop.orders_2024", "s.o-1", "1.2"])
def test_tables_have_the_names_that_bigquery_gives_them(name: str) -> None:
    of = eg.pipeline(
        eg.phase("raw", tables=[{"name": name, "date": "_day1"}]), eg.phase("clean", "raw")
    )

    assert of.phases[0].tables[0].table.name == name


# -- rows that count -------------------------------------------------------------------------


def where(condition: Any) -> dict[str, Any]:
    tables = [eg.table("raw", where={"status": condition})]
    return eg.content(eg.phase("raw", tables=tables), eg.phase("clean", "raw"))


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        (3, Condition(one_of=(3,))),
        (False, Condition(one_of=(False,))),
        ("final", Condition(one_of=("final",))),
        (date(2024, 1, 1), Condition(one_of=(date(2024, 1, 1),))),
        ({"in": [3]}, Condition(one_of=(3,))),
        ({"in": [4, 3, 4]}, Condition(one_of=(3, 4))),
        ({"not": True}, Condition(none_of=(True,))),
        ({"not": ["b", "a"]}, Condition(none_of=("a", "b"))),
        ({"null": True}, Condition(null=True)),
        ({"null": False}, Condition(null=False)),
    ],
)
def test_a_condition_of_a_column(written: Any, condition: Condition) -> None:
    of = Pipeline.model_validate(where(written))

    assert of.tables[0].table.where == {"status": condition}
    assert hash(of.tables[0].table.where["status"]) == hash(condition)
    # And a file's content comes back from what is kept of it
    for some in (True, False):
        again = Pipeline.model_validate(of.model_dump(exclude_unset=some))
        assert (again, again.checksum) == (of, of.checksum)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"isnt": 3}, "unknown key 'isnt'; did you mean 'in'?"),
        ({"nott": 3}, "unknown key 'nott'; did you mean 'not'?"),
        ({"in_": [3]}, "unknown key 'in_'; did you mean 'in'?"),
        ({"like": "x%"}, "unknown key 'like'; known keys: in, not, null"),
        ({}, "say one of in, not and null"),
        ({"in": [1], "not": 2}, "says in and not: a column has one condition"),
        ({"in": []}, "the list is empty"),
        ({"not": []}, "the list is empty"),
        ({"in": 3}, "3 is no list: write in = [3]"),
        ({"in": [1, "1"]}, "mixes INT64 and STRING"),
        ({"in": [True, 1]}, "mixes BOOL and INT64"),
        ({"not": [1, 2.5]}, "mixes FLOAT64 and INT64"),
        ({"in": [[1]]}, "[1] is no value"),
        ({"not": {"in": [1]}}, "{'in': [1]} is no value"),
        ({"null": 1}, "valid boolean"),
        ({"null": "true"}, "valid boolean"),
        ([1, 2], "a list needs in or not: write { in = [1, 2] }"),
        (None, "None is no value"),
        (datetime(2024, 1, 1, 12), "2024-01-01T12:00:00 is no value"),
        (time(12), "12:00:00 is no value"),
        ({"in": True}, "true is no list: write in = [true]"),
        ([date(2024, 1, 1)], "write { in = [2024-01-01] }"),
        (float("inf"), "inf is no value"),
        ({"in": [float("nan")]}, "nan is no value"),
        (2**63, "is no value"),
    ],
)
def test_a_condition_that_is_none(written: Any, said: str) -> None:
    message = refusal(where(written))
    assert said in message
    assert message.count("where.status") == 1  # one mistake, one line


def test_a_list_of_one_is_that_value() -> None:
    """So that a table which stands twice may be written both ways."""
    raw = eg.table("raw", where={"status": {"in": [3]}})
    same = eg.table("raw", where={"status": 3})
    phases = [eg.phase("raw", tables=[raw]), eg.phase("clean", "raw", tables=[same])]
    assert Pipeline.model_validate(eg.content(*phases))
    same["where"] = {"status": {"not": 3}}
    assert "is counted in two ways" in refusal(eg.content(*phases))


# -- the calendar ----------------------------------------------------------------------------


def test_moments_are_counted_by_day_in_the_time_zone_of_the_file(load: Any) -> None:
    assert [spec.table.zone for spec in load().tables] == ["UTC", "UTC"]
    pipeline = load('name = "shop"', 'name = "shop"\ntimezone = "America/New_York"')

    assert [spec.table.zone for spec in pipeline.tables] == ["America/New_York"] * 2
    assert pipeline.checksum != load().checksum


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("America/NewYork", "did you mean 'America/New_York'?"),
        ("EST5EDT4", "did you mean 'EST5EDT'?"),
        ("midnight o'clock in the middle of nowhere", "write one such as America/New_York"),
        ("", "write one such as"),
        ("../../etc/passwd", "there is no time zone"),
        ("America", "there is no time zone"),
        ("x" * 3_000, "write one such as"),
        ("localtime", "there is no time zone"),
        ("right/UTC", "there is no time zone"),
    ],
)
def test_what_is_no_time_zone_is_told(load: Any, zone: str, said: str) -> None:
    with pytest.raises(BadPipeline) as refused:
        load('name = "shop"', f'name = "shop"\ntimezone = "{zone}"')

    assert said in str(refused.value)
    assert len(str(refused.value)) < 400


SHARDED = 'name = "shop.orders_*"\ndate = "_TABLE_SUFFIX"'


def test_a_source_may_be_in_shards(load: Any) -> None:
    pipeline = load('name = "shop.orders"\ndate = "day"', SHARDED)

    assert pipeline.tables[0].table.name == "shop.orders_*"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("shop.orders", "shop.orders_*", "has the date _TABLE_SUFFIX"),
        ('orders"\ndate = "day"', 'orders"\ndate = "_TABLE_SUFFIX"', "no other table has it"),
        (
            'name = "shop.orders"\ndate = "day"',
            SHARDED.replace("_*", "_20*"),
            "where the date of a shard begins",
        ),
        ('name = "shop.clean"\ndate = "day"', SHARDED, "can only be read"),
        ("shop.orders", "shop.*_orders", "is not a table's name"),
    ],
)
def test_shards_that_cannot_be_told_apart_are_refused(
    load: Any, old: str, new: str, said: str
) -> None:
    with pytest.raises(BadPipeline, match=said):
        load(old, new)


def test_a_window_does_not_end_before_it_starts() -> None:
    backwards = {"start": date(2024, 2, 1), "end": date(2024, 1, 31)}

    for content in (
        eg.content(seasons=[{"name": "2024", "year": 2024, **backwards}]),
        eg.content(exclude=[{**backwards, "reason": "closed"}]),
        eg.content(seasons=[eg.season("2024", *eg.days(0, 1), windows={"sale": backwards})]),
    ):
        assert "ends on 2024-01-31, before it starts on 2024-02-01" in refusal(content)


def test_a_window_of_one_day_holds_that_day() -> None:
    one = Window(start=eg.day(3), end=eg.day(3))

    assert list(one.days()) == [eg.day(3)]
    assert [eg.day(n) in one for n in (2, 3, 4)] == [False, True, False]
    assert "2024-01-04" not in one


@pytest.mark.parametrize("text", ["2024-13-01", "2023-02-29", "yesterday", ""])
def test_impossible_dates_are_refused(text: str) -> None:
    content = eg.content(seasons=[{"name": "2024", "year": 2024, "start": text, "end": eg.day(1)}])

    assert "seasons.0.start" in refusal(content)


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 9), (9, 20)), ((0, 20), (5, 8)), ((10, 20), (0, 9))],
    ids=["share a day", "one within the other", "out of order"],
)
def test_seasons_neither_overlap_nor_go_back(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    seasons = [
        eg.season(name, eg.day(ends[0]), eg.day(ends[1]))
        for name, ends in (("one", first), ("two", second))
    ]

    assert "season 'two' starts before 'one' ends" in refusal(eg.content(seasons=seasons))


def test_seasons_that_touch_are_two_seasons() -> None:
    seasons = [eg.season("one", eg.day(0), eg.day(9)), eg.season("two", eg.day(10), eg.day(20))]

    assert len(eg.pipeline(seasons=seasons).seasons) == 2


def test_two_seasons_do_not_have_one_name() -> None:
    seasons = [eg.season("one", eg.day(0), eg.day(9)), eg.season("one", eg.day(10), eg.day(20))]

    assert "two seasons have one name" in refusal(eg.content(seasons=seasons))


# -- phases ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([eg.phase("raw"), eg.phase("raw")], "two phases are named 'raw'"),
        ([eg.phase("raw"), eg.phase("a", "a")], "phase 'a' is after 'a', which does not stand"),
        (
            [eg.phase("raw"), eg.phase("a", "b"), eg.phase("b", "a")],
            "phase 'a' is after 'b', which does not stand before it",
        ),
        (
            [eg.phase("raw"), eg.phase("b", "a"), eg.phase("a", "raw")],
            "phase 'b' is after 'a', which does not stand before it",
        ),
        ([eg.phase("raw"), eg.phase("a", "rwa")], "phase 'a' is after 'rwa'"),
        ([eg.phase("raw"), eg.phase("other")], "no phase is after another"),
        (
            [
                eg.phase("raw", runners=[{"kind": "script", "command": ["true"]}]),
                eg.phase("a", "raw"),
            ],
            "phase 'raw' has a runner, so it must say what it is `after`",
        ),
    ],
    ids=[
        "twice",
        "after itself",
        "cycle",
        "out of order",
        "unknown",
        "all sources",
        "source that runs",
    ],
)
def test_phases_stand_in_order_without_cycles(phases: list[dict[str, Any]], said: str) -> None:
    assert said in refusal(eg.content(*phases))


def test_a_table_is_counted_in_one_way() -> None:
    """Tables are counted once and known by name: a second way to count would be ignored."""
    graded = eg.table("rows", where={"is_graded": True})
    phases = [
        eg.phase("raw"),
        eg.phase("predict", "raw", tables=[eg.table("rows")]),
        eg.phase("grade", "predict", tables=[graded]),
    ]

    assert "table 'shop.rows' is counted in two ways" in refusal(eg.content(*phases))
    phases[2] = eg.phase("grade", "predict", tables=[eg.table("rows", min_coverage=0.5)])
    assert Pipeline.model_validate(eg.content(*phases))


def test_what_is_upstream_of_a_phase_and_how_far_back_it_reaches() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("prices"),
        eg.phase("clean", "raw", lookback_days=2),
        eg.phase("side", "prices", lookback_days=9),
        eg.phase("trend", "clean", "prices", lookback_days=6),
    )

    assert of.ancestors["trend"] == {"clean", "raw", "prices"}
    assert of.ancestors["side"] == {"prices"}
    assert of.lookback_total == timedelta(days=9)
    assert [each.name for each in of.phases if each.is_source] == ["raw", "prices"]


def test_the_entity_is_the_first_of_the_first_table() -> None:
    assert eg.pipeline().entity == "order"
    of = eg.pipeline(eg.phase("raw", tables=[eg.table("raw", entities={})]), eg.phase("c", "raw"))
    assert of.entity == "row"


def test_the_checksum_changes_with_the_content_and_not_with_the_text(load: Any) -> None:
    was = load().checksum

    assert load('name = "shop"', '# a comment\nname   =   "shop"').checksum == was
    assert load('name = "shop.clean"', 'name = "shop.cleaned"').checksum != was


def test_a_pipeline_cannot_be_changed() -> None:
    of = eg.pipeline()

    with pytest.raises(ValidationError):
        of.name = "other"  # type: ignore[misc]


# -- fuzz ------------------------------------------------------------------------------------

WORDS = st.sampled_from([
    "name", "seasons", "year", "start", "end", "phases", "tables", "after", "runners", "kind",
    "script", "command", "raw", "clean", "shop.raw", "day", "entities", "exclude", "windows",
])  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.text(max_size=8)
    | WORDS
)
KEYS = WORDS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@bounded
@given(content=st.dictionaries(KEYS, VALUES, max_size=6))
def test_whatever_a_file_says_it_is_refused_in_words(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pipeline.model_validate(content)


@bounded
@given(data=st.data())
def test_a_good_file_with_one_part_exchanged_is_read_or_refused_in_words(
    data: st.DataObject,
) -> None:
    content: Any = eg.content(
        exclude=[{"start": eg.day(3), "end": eg.day(4), "reason": "stocktaking"}]
    )
    place = content
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if (
            not isinstance(place[key], dict | list | tuple)
            or not place[key]
            or data.draw(st.booleans())
        ):
            break
        if isinstance(place[key], tuple):
            place[key] = list(place[key])
        place = place[key]
    place[key] = data.draw(VALUES)

    try:
        of = Pipeline.model_validate(content)
    except ValidationError:
        return
    assert of.checksum
    assert of.lookback_total >= timedelta(0)
    assert Pipeline.model_validate_json(of.model_dump_json()) == of


@bounded
@given(text=st.text())
def test_whatever_text_a_file_holds_it_is_refused_in_words(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(BadPipeline):
        load_pipeline(str(path))


# -- words for people without a league -----------------------------------------------------------


def test_a_period_is_a_season_and_a_warm_up_a_bootstrap() -> None:
    """One file in both words: the same pipeline, and the same checksum."""
    table = {"name": "s.trend", "date": "day", "entities": {"store": "store"}}
    league, shop = (
        Pipeline.model_validate(
            {
                "name": "shop",
                days: 7,
                periods: [
                    {"name": "fy25", "year": 2025, "start": "2025-04-01", "end": "2026-03-31"}
                ],
                "phases": [
                    {"name": "raw", "tables": [{**table, "name": "s.raw"}]},
                    {"name": "trend", "after": ["raw"], skips: True, "tables": [table]},
                    {"name": "more", "after": ["raw"], "tables": [{**table, days: 3}]},
                ],
                "criteria": [{"name": "all", "kind": "complete", periods: ["fy25"]}],
            }
        )
        for periods, days, skips in (
            ("seasons", "bootstrap_days", "skips_bootstrap"),
            ("periods", "warmup_days", "skips_warmup"),
        )
    )

    assert shop == league
    assert shop.checksum == league.checksum
    assert Pipeline.model_validate(shop.model_dump(by_alias=True)) == shop


def test_both_words_at_once_are_refused() -> None:
    with pytest.raises(ValidationError, match="'warmup_days' and 'bootstrap_days' say the same"):
        Pipeline.model_validate({"name": "shop", "warmup_days": 1, "bootstrap_days": 1})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('after = ["raw"]', 'after = ["raw"]\nretries = true', "retries: true is no number"),
        ('after = ["raw"]', 'after = ["raw"]\ntimeout_seconds = true', "true is no number"),
        ("year = 2024", "year = true", "year: true is no number"),
        ("start = 2024-01-01", "start = 1704067200", "1704067200 is no date: write YYYY-MM-DD"),
        ("start = 2024-01-01", "start = 19723.0", "is no date"),
        ("start = 2024-01-01", 'start = "1704067200"', "is no date"),
        ("start = 2024-01-01", "start = false", "is no date"),
    ],
)
def test_numbers_are_numbers_and_dates_are_dates(load: Any, old: str, new: str, said: str) -> None:
    with pytest.raises(BadPipeline, match=said):
        load(old, new)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert load_pipeline(str(tmp_path / "shop.toml")).name == "shop"
