"""The pipeline file's runners: what makes a phase's rows.

What a kind of runner means to the rest of the program is a property of `RunnerSpec`. A new kind
overrides those that differ, and joins `Runner` below and the table in `worker.runners.choose`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.pipeline.model import PATTERN_CHARS, Line, Model, Name, Pattern
from planner.pipeline.values import ValueName, ValueSpec
from sql.warehouse import Scalar

SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY|(^|_)AUTH$", re.IGNORECASE
)
"""Names of variables that hold secrets."""


class Rule(Model):
    """What an end of a script means. All conditions that are given have to hold."""

    exit_code: int | None = Field(default=None, ge=-64, le=255)
    """A negative one is a signal's number."""
    output: Annotated[Line, Field(max_length=PATTERN_CHARS)] | None = None
    """Text that a line of the output holds."""
    pattern: Pattern | None = None
    """A regular expression that a line of the output matches."""
    timeout: bool = False
    """It ran longer than the phase's `timeout_seconds`."""
    then: Literal["split", "retry", "resume", "fail", "unchanged"]
    """Halve the range; retry after a pause; resume where it stopped; permanent, so no retry;
    nothing had to change, where the exit code is 0 and the recount shows the rows."""

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if self.exit_code is None and not (self.output or self.pattern or self.timeout):
            raise ValueError("say when: exit_code, output, pattern or timeout")
        if self.timeout and self.exit_code is not None:
            raise ValueError("what times out has no exit_code")
        return self


class Resume(Model):
    """A script of several processors in order that can start from any of them.

    Which one is worked out from coverage: the first that has a table to fill.
    """

    argument: Line
    """Put before the processor's number, such as `--start-from`."""
    tables: tuple[tuple[str, ...], ...] = Field(min_length=1)
    """The tables of processor 1, of processor 2, and so on."""


class Secret(Model):
    """Where a secret is found: one of these. The secret itself is never in the file."""

    env: Line | None = None
    """Name of a variable."""
    file: Line | None = None
    """A file that holds nothing else; read for every request."""
    command: tuple[Line, ...] = ()
    """Prints it, such as `gcloud auth print-identity-token`."""
    google: bool = False
    """An identity token from Google's application default credentials."""
    audience: Line | None = None
    """The audience of Google's token; the service's address when not given."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [self.env, self.file, self.command, self.google]
        if sum(map(bool, given)) != 1:
            raise ValueError("name one source: env, file, command or google")
        if self.audience and not self.google:
            raise ValueError("an audience is for google")
        return self


class RunnerSpec(Model):
    """What every kind of runner says of itself."""

    note: Line | None = None
    """What to know where it is the one that is used: `planner doctor` and plans say it."""
    values: dict[ValueName, ValueSpec] = {}
    """Placeholder → what `--set` may put in its place."""

    @field_validator("values")
    @classmethod
    def _no_secrets(cls, values: dict[str, ValueSpec]) -> dict[str, ValueSpec]:
        for name in values:
            if SECRET_NAME.search(name):
                raise ValueError(
                    f'{name} looks like a secret, and values are shown: write "${{NAME}}" instead, '
                    "and set it where workers start"
                )
        return values

    def chosen(self, given: Mapping[str, str]) -> dict[str, str]:
        """Every declared value: as a run sets it, else its default. Raises `ValueError`."""
        found = {}
        for name, spec in self.values.items():
            value = given.get(name, spec.default)
            why = spec.complaint(value)
            if why is not None:
                raise ValueError(f"{name} = {value!r} {why}")
            found[name] = value
        return found

    @property
    def is_polled(self) -> bool:
        """Whether its steps are short visits, and parked between them: no worker waits."""
        return False

    @property
    def service_url(self) -> str | None:
        """The service that works for its steps, one batch at a time; None without one."""
        return None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets that it sends."""
        return ()

    @property
    def takes_one_date(self) -> bool:
        """Whether every range that it is given is one date."""
        return False

    @property
    def folder(self) -> str | None:
        """The folder whose code it runs, as the file says it; None where it runs none."""
        return None

    @property
    def recipe(self) -> dict[str, Any]:
        """What of it, as the file says it, decides which rows it makes."""
        return {}

    @property
    def statement_names(self) -> tuple[str, ...]:
        """The statements that it runs."""
        return ()

    def writes_as_worker(self, credentials: str) -> bool:
        """Whether it writes with the worker's own credentials: those in that variable."""
        return False


class ScriptRunner(RunnerSpec):
    """Runs a command: an argument list, never a shell.

    `{start}` and `{end}` in an argument become the step's first and last date; `{dates}` its
    dates, joined by commas. `${NAME}` and `${NAME:-default}` are read from the worker's
    environment when the step runs.
    """

    kind: Literal["script"]
    command: tuple[Line, ...] = Field(min_length=1)
    check: tuple[Line, ...] = Field(default=(), exclude=True)
    """What `planner doctor` runs of it, and what changes nothing. No row depends on it, so it is no
    part of what the file means: a plan fits the file with it and without."""
    cwd: Line | None = None
    env: dict[str, str] = {}
    outcomes: tuple[Rule, ...] = ()
    """What an end means: the first that fits. Before what is built in: 413 and a time-out halve
    the range, any other failure is retried, or resumed where the script can."""
    resume: Resume | None = None

    @field_validator("check")
    @classmethod
    def _no_dates(cls, check: tuple[str, ...]) -> tuple[str, ...]:
        for place in ("{start}", "{end}", "{dates}"):
            if any(place in word for word in check):
                raise ValueError(f"{place} is of a step, and a check is of none: leave it out")
        return check

    @field_validator("env")
    @classmethod
    def _secrets_by_name(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if SECRET_NAME.search(name) and value and "${" not in value:
                raise ValueError(
                    f'{name} looks like a secret: write "${{{name}}}", and set it where workers '
                    "start"
                )
        return env

    @property
    def folder(self) -> str | None:
        return self.cwd

    @property
    def recipe(self) -> dict[str, Any]:
        return self.model_dump(
            mode="json", include={"kind", "command", "env", "outcomes", "resume"}
        )

    def writes_as_worker(self, credentials: str) -> bool:
        return credentials not in self.env


class HttpBatchRunner(RunnerSpec):
    """Starts a batch at an HTTP service and polls it until it ends. One batch at a time."""

    kind: Literal["http_batch"]
    url: Line
    """Base address; `${NAME}` is read from the worker's environment."""
    start_path: Line = "/start"
    status_path: Line = "/status"
    health_path: Line = "/health"
    body: dict[str, Scalar] = {"start_date": "{start}", "end_date": "{end}"}
    """What `start_path` is sent. `force` is true only with `--force-service`."""
    per_date: bool = False
    """Start one date at a time."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer`."""
    api_key: Secret | None = None
    """Sent as `X-API-Key`."""
    start_timeout_seconds: float = Field(default=600, gt=0)
    """The real service works up to nine minutes before it answers `/start`."""
    poll_seconds: float = Field(default=30, gt=0)
    """Longest pause between two looks; the first is after half a second."""
    stall_seconds: float = Field(default=900, gt=0)
    """A batch that has not moved for so long has failed."""
    settle_seconds: float = Field(default=300, ge=0)
    """How long rows may take to appear after the service said complete."""

    @field_validator("url")
    @classmethod
    def _password_by_name(cls, url: str) -> str:
        if re.search(r"//[^/@:]*:(?!\$\{)[^/@]+@", url):
            raise ValueError('it holds a password: write "${NAME}", and set it where workers start')
        return url

    @property
    def is_polled(self) -> bool:
        return True

    @property
    def service_url(self) -> str | None:
        return self.url

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(secret for secret in (self.token, self.api_key) if secret is not None)

    @property
    def takes_one_date(self) -> bool:
        return self.per_date

    @property
    def recipe(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "url", "start_path", "body"})


class SqlRunner(RunnerSpec):
    """Runs GoogleSQL statements in the warehouse with `@start_date` and `@end_date`.

    A name is a `.sql` file beside the pipeline file, or one that ships in `sql/`.
    """

    kind: Literal["sql"]
    statements: tuple[Line, ...] = Field(min_length=1)

    @property
    def statement_names(self) -> tuple[str, ...]:
        return self.statements

    def writes_as_worker(self, credentials: str) -> bool:
        return True


class PluginRunner(RunnerSpec):
    """A runner of one's own: an installed package names it in `backfill_fleet.runners`."""

    kind: Literal["plugin"]
    use: Name
    """The name of its entry point."""
    options: dict[str, Scalar] = {}
    """What it is made with. `${NAME}` is read from the worker's environment."""

    @field_validator("options")
    @classmethod
    def _secrets_by_name(cls, options: dict[str, Scalar]) -> dict[str, Scalar]:
        for name, value in options.items():
            if SECRET_NAME.search(name) and isinstance(value, str) and "${" not in value:
                raise ValueError(
                    f'{name} looks like a secret: write "${{NAME}}", and set it where workers start'
                )
        return options

    @property
    def recipe(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "use", "options"})

    def writes_as_worker(self, credentials: str) -> bool:
        return True


Runner = Annotated[
    ScriptRunner | HttpBatchRunner | SqlRunner | PluginRunner, Field(discriminator="kind")
]
