"""Thirty dates of four ops that do nothing, in Dagster. Read by its own interpreter."""

from dagster import (
    DailyPartitionsDefinition,
    Definitions,
    In,
    Nothing,
    in_process_executor,
    job,
    op,
)


@op
def first():
    pass


@op(ins={"after": In(Nothing)})
def second():
    pass


@op(ins={"after": In(Nothing)})
def third():
    pass


@op(ins={"after": In(Nothing)})
def fourth():
    pass


@job(
    executor_def=in_process_executor,
    partitions_def=DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-01-31"),
)
def noop():
    fourth(third(second(first())))


defs = Definitions(jobs=[noop])
