"""Processes: children, workers, the embedded Redis, their identity, signals and secrets."""
