"""The commands of `planner`, one module each; what they share is in `planner.console`."""
