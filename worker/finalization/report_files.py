"""The files of reports, below `HOME/reports`: of a run, and of restores of it beside them."""

from __future__ import annotations

import json
from pathlib import Path

from planner.files import write_whole
from planner.report.causes import report_json
from planner.report.html.render import render_page
from planner.report.html.restore_page import render_restore
from planner.report.markdown import render_markdown
from planner.report.report import Report
from planner.report.restored import RestoreReport, restore_markdown
from worker.context import Context


def write_report(context: Context, report: Report) -> None:
    """Write a report: JSON, Markdown and a page."""
    folder = context.settings.folder("reports") / report.run_id
    write_whole(folder / "report.json", json.dumps(report_json(report), indent=1))
    write_whole(folder / "report.md", render_markdown(report))
    write_whole(folder / "report.html", render_page(report))


def write_restore_report(context: Context, report: RestoreReport) -> Path:
    """Write the report of a restore: JSON, Markdown and a page; the path of the second."""
    found = context.settings.folder("reports") / report.run_id / f"{report.restore_id}.md"
    write_whole(found.with_suffix(".json"), json.dumps(report.as_json(), indent=1))
    write_whole(found.with_suffix(".html"), render_restore(report))
    write_whole(found, restore_markdown(report))
    return found
