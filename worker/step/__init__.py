"""One step, from its message to its settlement."""
