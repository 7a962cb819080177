"""Settings: environment variables with the prefix `BACKFILL_`, or the same in `.env`."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
import tempfile
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from planner.address import EMBEDDED, Address, masked, parse_address
from planner.errors import UsageError
from planner.files import make_folder
from planner.text import WORD_CHARS, nearest, printable
from sql.billing import MAXIMUM_BYTES_BILLED
from sql.statements import is_table

PREFIX = "BACKFILL_"
SCRIPT = "BACKFILL_SCRIPT"
"""Marks a step's processes: no setting, and in the environment of each."""
LABELS = "BACKFILL_LABELS"
"""Has the labels for a script's jobs, `key=value,key=value`: no setting either."""

# The kernel's limit for a unix socket's path is 108 bytes on Linux and 104 on macOS.
SOCKET_PATH_MAX = 100
PASSWORD_CHARS_MIN = 12  # of what others on a network may guess at


class LogFormat(StrEnum):
    """What a line of a worker's log is."""

    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """What the environment or `.env` sets, checked."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8-sig",  # less a byte order mark
        extra="ignore",
        frozen=True,
        validate_by_name=True,
    )

    warehouse: str = Field(default="local:warehouse", description="local:DIR or bigquery:PROJECT")
    """Where the tables are: `local:DIR` or `bigquery:PROJECT`."""
    pipeline: str = Field(
        default="nba",
        description="one that ships (nba, nba-live, nba-live-phases, sales, shop), or a TOML file",
    )
    """A pipeline that ships, or a path. See [the pipeline file](pipeline-file.md)."""
    pipelines: Path | None = Field(
        default=None,
        description="a folder of pipeline files: workers serve the runs of each of them",
    )
    """A folder of pipeline files (`*.toml`): workers serve the runs of each. See [several
    pipelines](#several-pipelines)."""
    broker_url: str = Field(
        default=EMBEDDED, description="redis://…, rediss://…, unix:///PATH, or embedded"
    )
    """`redis://[user:password@]host:6379/0`, `rediss://…` (TLS), `unix:///PATH`, or `embedded`: a
    Redis of its own on a unix socket, for one machine."""
    max_bytes: int = Field(
        default=MAXIMUM_BYTES_BILLED,
        ge=1,
        description="bytes that one BigQuery job may bill, at most",
    )
    """Bytes that one BigQuery job may bill. A job that would bill more is refused and costs
    nothing."""
    dollars_per_tib: float = Field(
        default=6.25,
        ge=0,
        allow_inf_nan=False,
        description="what BigQuery bills for a TiB that queries read",
    )
    """What BigQuery bills for a TiB that queries read, for the costs that are shown; the default is
    the on-demand price in the US."""
    location: str | None = Field(
        default=None, description="where BigQuery jobs that read no table run"
    )
    """Where BigQuery jobs run that read no table, such as `EU`. Others run where their tables
    are."""
    home: Path = Field(default=Path(".backfill"), description="state, logs, plans and reports")
    """Logs, reports, notes of what is owed, and the embedded Redis."""
    lease_seconds: float = Field(
        default=30,
        ge=0.5,
        le=3600,
        description="a worker that does not renew its lease for twice as long loses its step",
    )
    """A worker that is silent twice as long loses its step, and stops it before that: after one and
    a half times as long without Redis."""
    visibility_seconds: int = Field(
        default=60, ge=2, le=86_400, description="a dead worker's messages are requeued after this"
    )
    """The messages of a worker that died come back after this, where no worker of its machine
    notices before."""
    grace_seconds: float = Field(
        default=20, ge=0, le=3600, description="between SIGTERM and SIGKILL, for steps and scripts"
    )
    """Between SIGTERM and the stop of a running step, and again for its script."""
    reconcile_seconds: float = Field(
        default=30,
        ge=0.5,
        le=3600,
        description="a step without a message for this long is sent again",
    )
    """A step that has had no message for this long is sent again. The whole fleet looks twice in
    that time, however many workers it has."""
    poll_max_seconds: float = Field(
        default=10,
        ge=0.05,
        le=600,
        description="longest pause of a step or of a run's end that waits for others",
    )
    """Longest pause of a step, or of a run's end, that waits for others."""
    notify: str | None = Field(
        default=None,
        description="where notifications go, of a run that ends or stands still: a command, which "
        "reads JSON, or the https:// address of a web hook",
    )
    """Where notifications go, such as that a run has ended or stands still: a command, or the
    address of a web hook. See [messages](#messages)."""
    notify_secret: SecretStr | None = Field(
        default=None, description="signs what a web hook is sent"
    )
    """Signs what a web hook is sent."""
    stalled_seconds: float = Field(
        default=3600, ge=1, description="a run stands still when no step begins or ends for as long"
    )
    """A run stands still when no step begins or ends for as long."""
    history_dataset: str | None = Field(
        default=None,
        validation_alias=AliasChoices(f"{PREFIX}HISTORY_DATASET", f"{PREFIX}LEDGER_DATASET"),
        description="dataset whose tables keep the history of runs and gaps, such as ops",
    )
    """A dataset whose tables keep what runs did. See [the run
    history](#the-run-history-in-the-warehouse). Its name before, `BACKFILL_LEDGER_DATASET`, is
    still read."""
    keep: bool = Field(
        default=True,
        description="keep what tables hold before a run writes it, for `planner restore`",
    )
    """Whether runs keep what tables hold before they write it, for [`planner
    restore`](#a-way-back)."""
    keep_dataset: str | None = Field(
        default=None,
        description="dataset for BigQuery's copies of it; without one nothing is kept there",
    )
    """A dataset for BigQuery's copies of it. Without one nothing is kept there: copies cost
    storage, and need a place. The local warehouse copies nothing, and needs none."""
    keep_days: int = Field(
        default=14,
        ge=1,
        le=3650,
        description="days that this is kept, and logs, reports and replaced files of local tables",
    )
    """For how many days, and logs and reports as long: [what stays on the
    disk](#what-stays-on-the-disk)."""
    alive_file: Path | None = Field(
        default=None,
        description="a worker shows here that it is alive, for `python -P -m worker alive`",
    )
    """A worker shows here every 5 s that it is alive: [health checks](#health-checks)."""
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="what workers log: text, or json with run and step"
    )
    """What workers log: `text`, or [`json`](#logs-and-traces)."""

    serve_password: SecretStr | None = Field(
        default=None,
        description="what `planner serve` asks readers for; without one it serves this machine "
        "alone",
    )
    """What `planner serve` asks readers for, at least 12 characters; without one it serves this
    machine alone."""

    @field_validator(
        "warehouse", "pipeline", "pipelines", "broker_url", "location", "home", "notify"
    )
    @classmethod
    def _one_line(cls, value: str | Path | None) -> str | Path | None:
        text = str(value or "")
        if printable(text) != text or "\n" in text:
            raise ValueError("it holds characters that are not text on one line")
        return value

    @field_validator("home", mode="before")
    @classmethod
    def _is_named(cls, value: str | Path) -> str | Path:
        if not str(value).strip():  # it would be read as the current folder
            raise ValueError("it is empty: name a folder, or leave the variable out")
        return value

    @field_validator("pipelines", mode="before")
    @classmethod
    def _is_folder(cls, value: str | Path | None) -> str | Path | None:
        return value if str(value or "").strip() else None  # empty would be the current folder

    @field_validator("broker_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value != EMBEDDED:
            parse_address(value)
        return value

    @field_validator("notify")
    @classmethod
    def _is_command(cls, value: str | None) -> str | None:
        try:
            return value if value and shlex.split(value) else None
        except ValueError:
            raise ValueError("a quote is left open: write a command as in a shell") from None

    @field_validator("serve_password")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value()) < PASSWORD_CHARS_MIN:
            raise ValueError(f"it is short: take at least {PASSWORD_CHARS_MIN} characters")
        return value or None

    @field_validator("history_dataset", "keep_dataset")
    @classmethod
    def _is_dataset(cls, value: str | None) -> str | None:
        if value and not is_table(f"{value}.table"):
            raise ValueError(f"{value!r} is not a dataset's name: write dataset or project.dataset")
        return value or None

    @property
    def is_local(self) -> bool:
        """Whether the warehouse is a folder."""
        return self.warehouse.startswith("local:")

    @property
    def is_embedded(self) -> bool:
        """Whether the broker is the embedded Redis."""
        return self.broker_url == EMBEDDED

    @cached_property
    def home_dir(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().absolute()

    @cached_property
    def socket(self) -> Path:
        """The embedded broker's socket: in `home`, or in a short place made from its name."""
        inside = self.home_dir / "redis.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_MAX:
            return inside
        name = hashlib.sha256(os.fsencode(self.home_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"backfill-{os.getuid()}-{name}.sock"

    @cached_property
    def address(self) -> Address:
        """The broker's address, and how TLS is spoken with it."""
        return (
            Address(url=f"unix://{self.socket}")
            if self.is_embedded
            else parse_address(self.broker_url)
        )

    @property
    def redis_url(self) -> str:
        """The broker as redis-py names it, without options."""
        return self.address.url

    def check_socket(self) -> None:
        """Raises `UsageError` when the embedded broker's socket is of another user.

        On a machine that others share they could put one of their own there, and send us steps.
        """
        try:
            owner = self.socket.lstat().st_uid
        except OSError:  # nothing is there, and nothing is talked to
            return
        if self.is_embedded and owner != os.getuid():
            raise UsageError(
                f"The socket {self.socket} belongs to user {owner}, not to you: set BACKFILL_HOME "
                "to a folder of your own, whose path is short."
            )

    def folder(self, name: str) -> Path:
        """A folder in `home`, made when needed, as every one above it, for its owner alone.

        Raises `OSError` when it cannot be made, and `UsageError` for a home that all may write to.
        """
        if self.home_dir.is_dir() and self.home_dir.stat().st_mode & stat.S_IWOTH:
            raise UsageError(
                f"Every user of this machine may write to {self.home_dir}, which holds plans and "
                f"the broker: chmod 700 {self.home_dir}, or set BACKFILL_HOME to another folder."
            )
        path = self.home_dir / name
        make_folder(path)
        return path


def variables(name: str) -> tuple[str, ...]:
    """The variables that a setting is read from: its name, then the names it had before."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{PREFIX}{name.upper()}",)


def misspelt() -> list[str]:
    """A remark on each variable of the environment or `.env` that looks like a setting and is none,
    with the nearest that is."""
    names = {name.upper() for name in (*os.environ, *_in_file())}
    known = {each for name in Settings.model_fields for each in variables(name)}
    return [
        f"There is no setting {name[:WORD_CHARS]}; {nearest(name, known, what='settings')}"
        for name in sorted(names - known - {SCRIPT, LABELS})
        if name.startswith(PREFIX)
    ]


def _in_file() -> dict[str, str | None]:
    from dotenv import dotenv_values

    try:
        return dotenv_values(".env", encoding="utf-8-sig") if Path(".env").is_file() else {}
    except (OSError, UnicodeDecodeError):  # `load_settings` says so
        return {}


def load_settings() -> Settings:
    """Read the settings. Raises `UsageError` with one line per mistake."""
    written = Path(".env")
    if written.is_fifo() or written.is_char_device():
        raise UsageError("The file .env cannot be read: it is a pipe or a device, not a file.")
    try:
        return Settings()
    except ValidationError as error:
        raise UsageError(
            "\n".join(
                f"{PREFIX}{str(mistake['loc'][0]).upper().removeprefix(PREFIX)}: "
                f"{mistake['msg'].removeprefix('Value error, ')}"
                for mistake in error.errors(include_url=False, include_input=False)
            )
        ) from None
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            "The file .env cannot be read: it holds lines such as BACKFILL_PIPELINE=nba."
        ) from None


def masked_webhook(where: str | None) -> str:
    """Where messages go, without what makes a web hook's address a secret: all after its host."""
    return re.sub(r"(https?://[^/?#@]*)[/?#].*", r"\1/***", masked(where or ""))
