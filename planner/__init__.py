"""The planner: finds the gaps of a phased pipeline and plans their repair."""
