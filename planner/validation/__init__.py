"""Whether the tables hold what they should: counts, results, success criteria, baselines."""
