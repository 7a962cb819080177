"""Settings come from the environment, and secrets do not come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from planner.address import masked
from planner.cli import app
from planner.errors import UsageError
from planner.settings import SOCKET_PATH_MAX, Settings, load_settings, misspelt
from tests.unit.worlds import bounded


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


def test_without_any_setting_everything_is_embedded_and_local() -> None:
    settings = load_settings()

    assert settings.warehouse == "local:warehouse"
    assert settings.is_embedded
    assert settings.home_dir == Path.cwd() / ".backfill"


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("BACKFILL_PIPELINE=sales\nBACKFILL_WAREHOUSE=local:a\nOTHER=1\n")
    monkeypatch.setenv("BACKFILL_WAREHOUSE", "local:b")

    settings = load_settings()

    assert (settings.pipeline, settings.warehouse) == ("sales", "local:b")


@pytest.mark.parametrize("name", ["BACKFILL_HISTORY_DATASET", "BACKFILL_LEDGER_DATASET"])
def test_the_history_has_its_old_variable_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "ops")

    told = json.loads(CliRunner().invoke(app, ["settings", "--json"]).stdout)["settings"]
    (row,) = [
        row
        for row in told
        if "KEEP" not in row["variable"] and row["variable"].endswith("_DATASET")
    ]

    assert load_settings().history_dataset == "ops"
    assert (row["variable"], row["value"]) == ("BACKFILL_HISTORY_DATASET", "ops")
    assert row["source"] == "environment"


def test_of_two_names_the_new_one_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BACKFILL_LEDGER_DATASET=old\n")
    assert load_settings().history_dataset == "old"

    monkeypatch.setenv("BACKFILL_HISTORY_DATASET", "new")
    assert load_settings().history_dataset == "new"


def test_every_mistake_is_told_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKFILL_LEASE_SECONDS", "soon")
    monkeypatch.setenv("BACKFILL_MAX_BYTES", "0")

    with pytest.raises(UsageError) as refused:
        load_settings()

    names = [line.split(":")[0] for line in str(refused.value).splitlines()]
    assert sorted(names) == ["BACKFILL_LEASE_SECONDS", "BACKFILL_MAX_BYTES"]


@pytest.mark.parametrize("value", ["0", "-1", "3601", "nan", "inf"])
def test_a_time_is_within_reason(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BACKFILL_LEASE_SECONDS", value)

    with pytest.raises(UsageError, match="BACKFILL_LEASE_SECONDS"):
        load_settings()


# -- where things are ------------------------------------------------------------------------


def test_the_socket_is_in_home_where_its_path_is_short_enough(tmp_path: Path) -> None:
    settings = made(home=Path("/tmp/h"))

    assert settings.socket == Path("/tmp/h/redis.sock")
    assert settings.redis_url == "unix:///tmp/h/redis.sock"


def test_the_socket_of_a_long_home_is_in_a_short_place_of_its_own() -> None:
    long = [made(home=Path("/tmp") / ("ü" * 45) / name) for name in ("a", "b", "a")]

    sockets = [settings.socket for settings in long]

    assert all(len(str(socket).encode()) <= SOCKET_PATH_MAX for socket in sockets)
    assert sockets[0] == sockets[2] != sockets[1]


def test_another_broker_is_named_as_it_was_given() -> None:
    settings = made(broker_url="redis://host:6379/0")

    assert not settings.is_embedded
    assert settings.redis_url == "redis://host:6379/0"


def test_folders_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    settings = made(home=tmp_path / "home")

    folder = settings.folder("plans")

    assert folder == settings.folder("plans") == tmp_path / "home" / "plans"
    assert folder.stat().st_mode & 0o077 == 0


# -- secrets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("embedded", "embedded"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://user:secret@host", "redis://user:***@host"),
        ("rediss://user:se%40cret@host", "rediss://user:***@host"),
        ("redis://user:s@cret@host", "redis://user:***@host"),
        ("redis://user:s:cret@host", "redis://user:***@host"),
        ("redis://:se/cret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://:se#cret@host", "redis://:***@host"),
        ("redis://:se?cret@host", "redis://:***@host"),
        ("redis://:se\ncret@host", "redis://:***@host"),
        ("redis://:secret@[::1]:6379", "redis://:***@[::1]:6379"),
        ("redis://:secret@[::1", "redis://:***@[::1"),
        ("unix://:secret@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock?password=***"),
        ("redis://host?db=1&PASSWORD=secret&x=1", "redis://host?db=1&PASSWORD=***&x=1"),
        ("redis://:secret@host?password=secret", "redis://:***@host?password=***"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


@bounded
@given(password=st.text(min_size=6), user=st.from_regex(r"[a-z]{0,5}", fullmatch=True))
def test_no_password_is_shown_however_it_is_written(password: str, user: str) -> None:
    assert masked(f"redis://{user}:~{password}~@host:6379/0") == f"redis://{user}:***@host:6379/0"


@bounded
@given(url=st.text())
def test_any_text_can_be_masked(url: str) -> None:
    assert isinstance(masked(url), str)


def test_a_misspelt_setting_is_said_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfBACKFILL_PIPLINE=nba\n")
    monkeypatch.setenv("BACKFILL_HOEM", "x")
    monkeypatch.setenv("BACKFILL_SCRIPT", "a mark of ours")
    monkeypatch.setenv("BACKFILL_LEDGER_DATASET", "ops")

    assert misspelt() == [
        "There is no setting BACKFILL_HOEM; did you mean 'BACKFILL_HOME'?",
        "There is no setting BACKFILL_PIPLINE; did you mean 'BACKFILL_PIPELINE'?",
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKFILL_PIPELINE", raising=False)
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfBACKFILL_PIPELINE=sales\n")

    assert load_settings().pipeline == "sales"


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_home_is_not_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BACKFILL_HOME", value)

    with pytest.raises(UsageError, match="BACKFILL_HOME: it is empty"):
        load_settings()


@pytest.mark.parametrize("command", ["settings", "gaps", "runs", "validate", "doctor"])
def test_every_command_says_what_is_misspelt(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_WAREHOSE", "local:x")

    said = CliRunner().invoke(app, [command]).stderr

    assert "no setting BACKFILL_WAREHOSE; did you mean 'BACKFILL_WAREHOUSE'?" in said


def test_no_folder_of_pipeline_files_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_PIPELINES", "")
    assert load_settings().pipelines is None
