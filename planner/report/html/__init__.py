"""The report as one HTML page, which loads nothing else."""
