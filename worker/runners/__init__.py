"""Runners: what makes a phase's rows. Each returns an outcome; none decides what is next."""

from worker.runners.choose import NoRunner, runner_for, which_of
from worker.runners.job import (
    LEASE_LOST,
    Failed,
    Job,
    Outcome,
    Park,
    Partway,
    Ran,
    Refused,
    Runner,
    Stopped,
    TooLarge,
    TryLater,
)

__all__ = [
    "LEASE_LOST",
    "Failed",
    "Job",
    "NoRunner",
    "Outcome",
    "Park",
    "Partway",
    "Ran",
    "Refused",
    "Runner",
    "Stopped",
    "TooLarge",
    "TryLater",
    "runner_for",
    "which_of",
]
