"""`make fuzz`: hostile input of every kind, for minutes."""
