"""What is done about gaps: the choice, chunks, the plan, what it owes, costs and takes."""
