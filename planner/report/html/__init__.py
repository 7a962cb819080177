"""The report as one HTML page, without anything that it would have to load."""
