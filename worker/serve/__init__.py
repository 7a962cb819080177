"""Pages of runs while they go on, for browsers: reads the ledger, and writes nothing."""
