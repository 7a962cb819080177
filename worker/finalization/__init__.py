"""The end of a run, when every step has settled: final count, report, publication, made notes."""
