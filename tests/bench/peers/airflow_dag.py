"""Thirty dates of four tasks that do nothing, in Airflow. Read by its own interpreter."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

NAMES = ("first", "second", "third", "fourth")


@dag(
    schedule="@daily",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    end_date=datetime(2024, 1, 30, tzinfo=UTC),
    catchup=True,  # so that all dates are due as soon as it is no longer paused
    max_active_runs=16,
    max_active_tasks=16,
    is_paused_upon_creation=True,
    # On a busy machine its API may not answer in time.
    default_args={"retries": 5, "retry_delay": timedelta(seconds=1)},
)
def noop():
    def nothing():
        pass

    before = None
    for name in NAMES:
        step = task(task_id=name)(nothing)()
        if before is not None:
            before >> step
        before = step


noop()
