"""The files of a run's report, below `HOME/reports`."""

from __future__ import annotations

import json

from planner.files import write_whole
from planner.report.causes import report_json
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.report.report import Report
from worker.step.context import Context


def write_report(context: Context, report: Report) -> None:
    """Write a report: JSON, Markdown and a page."""
    folder = context.settings.folder("reports") / report.run_id
    write_whole(folder / "report.json", json.dumps(report_json(report), indent=1))
    write_whole(folder / "report.md", render_markdown(report))
    write_whole(folder / "report.html", render_page(report))
