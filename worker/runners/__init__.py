"""Runners: what makes a phase's rows. Each gives back an outcome; none decides what is next."""

from worker.runners.choose import runner_for
from worker.runners.job import Failed, Job, Outcome, Park, Ran, Refused, Runner, Stopped

__all__ = [
    "Failed",
    "Job",
    "Outcome",
    "Park",
    "Ran",
    "Refused",
    "Runner",
    "Stopped",
    "runner_for",
]
