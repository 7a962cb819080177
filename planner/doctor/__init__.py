"""Whether tables and names are as the pipeline file says."""
