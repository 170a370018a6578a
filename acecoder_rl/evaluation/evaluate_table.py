"""The table of an evaluation, as the paper prints it: nine benchmarks and their average, a row a model.

Covers: Markdown, JSON and a self-contained page with a plot, of all reports in a folder.
Does not cover: the figures (evaluate.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acecoder_rl.evaluation.benchmarks.load import COLUMNS
from acecoder_rl.records import InputError

DASH = "-"


def collect(folder: Path, first: Sequence[str] = ()) -> dict[str, dict[str, dict[str, Any]]]:
    """All reports of a folder: model -> benchmark -> report; the models named come first, the others by name."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*/*/report.json")):
        try:
            report = json.loads(path.read_bytes())
            found.setdefault(report["model"], {})[report["benchmark"]] = report
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is no report of ours: delete it, and run its model again") from None
    return {name: found[name] for name in [*first, *found] if name in found}


def table(reports: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """The table: `columns`, `rows` and `notes`, as they stand in table.json.

    A row has `model`, `values` by benchmark (pass@1 in %, None where there is none) and `average`, None unless all are
    there.
    """
    rows = []
    for model, own in reports.items():
        values = {name: 100 * own[name]["pass_at"]["1"]["value"] if name in own else None for name in COLUMNS}
        known = [value for value in values.values() if value is not None]
        average = sum(known) / len(known) if len(known) == len(COLUMNS) else None
        rows.append({"model": model, "values": values, "average": average})
    return {"columns": dict(COLUMNS), "rows": rows, "notes": _notes(reports, rows), "reports": reports}


def markdown(found: dict[str, Any]) -> str:
    """The table as Markdown, its notes below it."""
    lines = [
        "| model | " + " | ".join(found["columns"].values()) + " | Average |",
        "| --- |" + " ---: |" * (len(found["columns"]) + 1),
    ]
    for row in found["rows"]:
        cells = [_cell(value) for value in (*row["values"].values(), row["average"])]
        name = row["model"].replace("|", "\\|")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in found["notes"]), ""])


def write(found: dict[str, Any], folder: Path) -> None:
    """table.md, table.json, table.html; without plotly there is no page, and that is told."""
    _write(folder / "table.md", markdown(found))
    _write(folder / "table.json", json.dumps(found, indent=1) + "\n")
    try:
        _page(found, folder / "table.html")
    except ImportError as error:
        print(f"warning: no plot: {error}", file=sys.stderr)


def pass_at_lines(report: dict[str, Any]) -> list[str]:
    """A report's figures, a line each k."""
    return [
        f"pass@{k:<4} {100 * each['value']:6.1f}  ({100 * each['low']:.1f} .. {100 * each['high']:.1f})"
        for k, each in report["pass_at"].items()
    ]


def _notes(reports: dict[str, dict[str, dict[str, Any]]], rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = ["pass@1 in %: every test of a problem passes"]
    if any(row["average"] is None for row in rows):
        notes.append(f"{DASH}: not evaluated; the average is given for rows with all {len(COLUMNS)} benchmarks only")
    hows: dict[str, list[str]] = {}
    for model, own in reports.items():
        for told in {_how(report) for report in own.values()}:
            hows.setdefault(told, []).append(model)
    notes += [f"{told}: {', '.join(models)}" for told, models in hows.items()]
    for name, title in COLUMNS.items():
        used = {json.dumps(own[name]["data"], sort_keys=True): own[name] for own in reports.values() if name in own}
        contents = {report["data"].get("content") for report in used.values()}
        for report in list(used.values())[: 1 if len(contents) == 1 else None]:
            notes.append(f"{title}: {_data(report)}")
        if len(contents) > 1:
            notes.append(f"{title}: the rows are of different data, and cannot be compared")
    return notes


def _how(report: dict[str, Any]) -> str:
    asked = report["asked"]
    if asked is None:
        return f"from a file of {report['samples']} completion{'s' * (report['samples'] > 1)} a problem"
    prompt = "base-model prompts" if asked["base"] else "chat prompts"
    if asked["temperature"] == 0:
        return f"greedy, {prompt}"
    return f"{asked['samples']} samples at T={asked['temperature']:g}, top-p {asked['top_p']:g}, {prompt}"


def _data(report: dict[str, Any]) -> str:
    data = report["data"]
    parts = [f"{report['problems']} problems of {data['source']}"]
    if "tests" in data:
        parts.append(data["tests"])
    if "release" in data:
        parts.append(f"{data['release']}, contests from {data['from']} to {data['to']}")
    return "; ".join([*parts, *([report["note"]] if report["note"] else [])])


def _cell(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f}"


def _write(path: Path, text: str) -> None:
    half = path.with_name(path.name + ".tmp")
    half.write_text(text)
    half.replace(path)


def _page(found: dict[str, Any], path: Path) -> None:
    import html

    import plotly.graph_objects as go

    figure = go.Figure()
    titles = found["columns"]
    for model, own in found["reports"].items():
        names = [name for name in titles if name in own]
        each = [own[name]["pass_at"]["1"] for name in names]
        figure.add_bar(
            x=[titles[name] for name in names], y=[100 * one["value"] for one in each], name=html.escape(model),
            error_y={
                "array": [100 * (one["high"] - one["value"]) for one in each],
                "arrayminus": [100 * (one["value"] - one["low"]) for one in each],
            },
        )  # fmt: skip
    figure.update_layout(
        title="pass@1, 95 % intervals over problems", yaxis={"title": "%", "range": [0, 100]}, barmode="group",
        height=520, template="plotly_white", showlegend=True,
    )  # fmt: skip
    # The script stands in the page: it opens without a network.
    figure.write_html(path, include_plotlyjs=True, full_html=True)
