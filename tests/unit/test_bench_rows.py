"""The table of docs/performance.md: what a run measured is written, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import page
from tests.bench.__main__ import ROWS, main
from tests.bench.peers.__main__ import PEERS, _row
from tests.bench.rows import Figures, Row, at_least, at_most, beside, limited
from tests.bench.whole import Whole

SHIPPED = page.PAGE
ORDER = ["steps", "visits", "idle"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "performance.md"
    path.write_text("# Title\n\n<!-- bench -->\n<!-- end of bench -->\n\nProse.\n")
    monkeypatch.setattr(page, "PAGE", path)
    return path


def test_the_page_has_the_rows_of_every_benchmark() -> None:
    text = SHIPPED.read_text(encoding="utf-8").partition("<!-- end of bench -->")[0]
    names = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert list(dict.fromkeys(names)) == [*ROWS]


def test_rows_that_are_measured_again_replace_their_own_alone(place: Path) -> None:
    for name, here in (("idle", "3"), ("steps", "1"), ("visits", "2"), ("steps", "4")):
        rows = [Row(question=f"what of {name}", here=here), Row(question="and", here=here)]
        page.write("bench", name, rows, load=1.4, order=ORDER)
    text = place.read_text()
    assert [line for line in text.splitlines() if line.startswith("| `")] == [
        "| `steps` | what of steps | 4 |  |  |  | 1 |",
        "| `steps` | and | 4 |  |  |  | 1 |",
        "| `visits` | what of visits | 2 |  |  |  | 1 |",
        "| `visits` | and | 2 |  |  |  | 1 |",
        "| `idle` | what of idle | 3 |  |  |  | 1 |",
        "| `idle` | and | 3 |  |  |  | 1 |",
    ]
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nProse.\n")


def test_a_row_of_a_benchmark_that_is_no_more_is_dropped(place: Path) -> None:
    page.write("bench", "idle", [Row(question="what", here="3")], load=1, order=["idle"])
    page.write("bench", "steps", [Row(question="what", here="3")], load=1, order=["steps"])
    assert "`idle`" not in place.read_text()


def test_a_peer_has_a_row_of_both_sides() -> None:
    own, other = [Whole(wall=60, cpu=10)], [Whole(wall=600, cpu=200)]
    row = _row(PEERS["airflow"], "Airflow 3", own, other)
    assert row.here == "10.0 ms CPU, 60.0 ms by the clock"
    assert row.beside.startswith("Airflow 3 (LocalExecutor, 16 slots) 200 ms CPU, 600 ms by")
    assert row.beside.endswith(": 20.0 × the CPU")
    assert (row.mark, row.met) == ("≥ 25 ×", "missed: 0.80 of the mark")


def test_a_row_says_whether_its_mark_is_met_and_by_how_much_it_is_missed() -> None:
    here, peer = Figures([6.0, 5.0, 7.0]), Figures([2.0, 2.0, 2.0])
    row = beside("a step", here, peer, of="bare", most=1.5)
    assert row.cells == [
        "a step",
        "6.00 ms (5.00 to 7.00)",
        "bare 2.00 ms: 3.00 ×",
        "≤ 1.5 ×",
        "missed: 2.00 times the mark",
    ]
    assert beside("a step", here, peer, of="bare", most=3).met == "met"
    assert limited("a command", here, most=6).cells[3:] == ["≤ 6 ms", "met"]
    assert at_least(10, 25) == "missed: 0.40 of the mark"
    assert at_least(25, 25) == at_most(2, 2) == "met"


def test_a_row_that_does_not_exist_is_refused_before_any_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["idle", "nothing"]) == 2
    told = capsys.readouterr().err
    assert "no row nothing" in told
    assert all(name in told for name in ROWS)
