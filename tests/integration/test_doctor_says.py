"""What doctor finds before a run does: files of two statements, a history table of another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Done
from tests.integration.allyear import STATEMENT, AllYear, jan, noon


@pytest.fixture
def shop(tmp_path: Path) -> AllYear:
    """Ten days, of which one has to be repaired."""
    shop = AllYear(tmp_path, broker_url="redis://127.0.0.1:1/0")
    shop.fill_all(jan(1), jan(10))
    shop.lose("daily", jan(5))
    return shop


def wrong(done: Done) -> dict[str, str]:
    return {
        check["what"]: f"{check['detail']} → {check['advice']}"
        for check in done.json["checks"]
        if not check["ok"]
    }


@pytest.mark.parametrize("command", [("plan",), ("enqueue", "--gaps", "--dry-run")])
def test_a_file_of_two_statements_is_refused_by_doctor_and_at_planning(
    shop: AllYear, command: tuple[str, ...]
) -> None:
    statement = STATEMENT.format(table="daily", source="orders")
    (shop.place / "daily.sql").write_text(f"DELETE FROM s.daily WHERE FALSE;\n{statement}")

    told = shop.say("doctor", "--json", now=noon(jan(11)))
    assert told.code == 3
    assert "it holds 2 statements, and has to be one" in wrong(told)["daily: sql 1"]

    done = shop.say(*command, now=noon(jan(11)))
    assert done.code == 2
    assert "it holds 2 statements, and has to be one" in done.err


def test_a_table_of_anothers_is_no_table_of_the_history(shop: AllYear) -> None:
    shop.warehouse.run("CREATE TABLE s.data_gaps (day DATE, team STRING)", {})
    shop.settings = shop.settings.model_copy(update={"history_dataset": "s"})

    told = wrong(shop.say("doctor", "--json", now=noon(jan(11))))
    assert "s.data_gaps is another table than that of the run history" in told["run history"]
    assert "name another dataset" in told["run history"]
