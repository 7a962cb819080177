"""The pipeline file, and what follows from it alone: phases, tables, calendar, windows."""
