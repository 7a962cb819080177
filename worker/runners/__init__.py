"""Runners: what makes a phase's rows. Each returns an outcome; none decides what is next."""

from worker.runners.choose import NoRunner, runner_for, which_of
from worker.runners.job import (
    LEASE_LOST,
    Failed,
    Held,
    Job,
    Outcome,
    Park,
    Partway,
    Ran,
    Refused,
    Runner,
    Stopped,
    TooLarge,
)

__all__ = [
    "LEASE_LOST",
    "Failed",
    "Held",
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
    "runner_for",
    "which_of",
]
