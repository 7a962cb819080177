"""How runs and the fleet stand, for people and monitors: reads the ledger, and decides nothing."""
