"""What people read about a run: report, Markdown, handoff, page, and the history of runs."""
