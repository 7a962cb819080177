"""The commands of the `planner` command line, one module per noun."""
