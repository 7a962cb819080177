"""A run, from its plan to its workers: making plans, sending, control, healing, restoring."""
