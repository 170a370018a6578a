"""What a best-of-n run shows: a table, a self-contained page (report.html), a picture (report.png).

Covers: the figures of estimates.report.
Does not cover: how they are reckoned (estimates.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

TITLES = {"all_pass": "all tests pass", "pass_rate": "mean pass rate"}


def print_table(figures: dict[str, Any], console: Console | None = None) -> None:
    """The figures as a table a metric, on stdout."""
    console = console or Console()
    if not console.is_terminal:  # a file has no width of its own
        console = Console(file=console.file, width=100)
    count, most = figures["candidates"], figures["most_candidates"]
    each = f"{count if count == most else f'{count} to {most}'} candidates each"
    console.print(f"{figures['problems']} problems, {each}; 95 % intervals over problems", highlight=False)
    for name, metric in figures["metrics"].items():
        table = Table(TITLES[name])
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("above average", justify="right", no_wrap=True)
        for title, key, gain in _rows(figures):
            above = _told(metric["gain"][gain], sign="+") if gain else ""
            table.add_row(title, _told(_at(metric, key)), above, end_section=title == "average")
        console.print(table)
    for line in notes(figures):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def notes(figures: dict[str, Any]) -> list[str]:
    """What the table does not say."""
    ranks = figures["outranks"]
    if ranks["value"] is None:
        told = "no problem has both passing and failing candidates: ranking cannot be told from chance here"
    else:
        told = (f"a passing candidate outranks a failing one of its problem: {_told(ranks)} "
                f"({ranks['problems']} problems have both; 0.5 is chance)")  # fmt: skip
    lines = [told, f"problems where none passes: {figures['none_pass']}, where all pass: {figures['all_pass']}; "
                   "they count"]  # fmt: skip
    lines.append("best of k: the expectation over all k of a problem's candidates; best of 1 is the average")
    if figures["candidates"] != figures["most_candidates"]:
        counts = f"{figures['candidates']} to {figures['most_candidates']}"
        lines.append(f"problems have {counts} candidates: best of k goes up to the least, and picks are of all")
    if figures.get("without_tests"):
        lines.append(f"{figures['without_tests']} problems have no tests: picked, but not in these figures")
    return lines


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Write report.html and report.png; where they cannot be, that is told and not raised: the figures are there."""
    try:
        _page(figures, folder / "report.html")
        _picture(figures, folder / "report.png")
    except (ImportError, OSError) as error:
        print(f"warning: no plot: {error}", file=sys.stderr)


def _rows(figures: dict[str, Any]) -> list[tuple[str, tuple[str, ...], str | None]]:
    ks = [str(k) for k in figures["steps"]]
    return [
        ("first", ("first",), None),
        ("average", ("average",), None),
        *((f"RM best of {k}", ("best_of", k), k) for k in ks),
        (f"oracle, best of {ks[-1]}", ("oracle", ks[-1]), None),
    ]


def _at(metric: dict[str, Any], key: tuple[str, ...]) -> dict[str, float]:
    found: Any = metric
    for part in key:
        found = found[part]
    return found


def _told(estimate: dict[str, float], sign: str = "") -> str:
    value, low, high = (f"{estimate[name]:{sign}.3f}" for name in ("value", "low", "high"))
    return f"{value} ({low} .. {high})"


def _curves(metric: dict[str, Any], ks: list[int]) -> dict[str, list[dict[str, float]]]:
    return {
        "reward model": [metric["best_of"][str(k)] for k in ks],
        "oracle": [metric["oracle"][str(k)] for k in ks],
        "average": [metric["average"]] * len(ks),
    }


COLORS = {"reward model": "#1f77b4", "oracle": "#2ca02c", "average": "#7f7f7f"}


def _page(figures: dict[str, Any], path: Path) -> None:
    from plotly.subplots import make_subplots

    metrics, ks = figures["metrics"], figures["steps"]
    figure = make_subplots(rows=1, cols=len(metrics), subplot_titles=[TITLES[name] for name in metrics])
    for column, metric in enumerate(metrics.values(), 1):
        for name, curve in _curves(metric, ks).items():
            values = [each["value"] for each in curve]
            figure.add_scatter(
                x=ks, y=values, name=name, legendgroup=name, showlegend=column == 1,
                mode="lines" if name == "average" else "lines+markers",
                line={"color": COLORS[name], "dash": "dot" if name == "average" else "solid"},
                error_y=None if name == "average" else {
                    "array": [each["high"] - each["value"] for each in curve],
                    "arrayminus": [each["value"] - each["low"] for each in curve],
                },
                hovertemplate="%{x} candidates: %{y:.3f}<extra>" + name + "</extra>", row=1, col=column,
            )  # fmt: skip
    figure.update_layout(
        title="<br>".join([f"best of k, {figures['problems']} problems", f"<sub>{notes(figures)[0]}</sub>"]),
        height=520, template="plotly_white",
    )  # fmt: skip
    figure.update_xaxes(title_text="candidates (k)", type="log", tickvals=ks)
    # The script stands in the page: it opens without a network, and in ten years.
    figure.write_html(path, include_plotlyjs=True, full_html=True)


def _picture(figures: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no display on a cluster
    from matplotlib import pyplot

    metrics, ks = figures["metrics"], figures["steps"]
    figure, axes = pyplot.subplots(1, len(metrics), figsize=(11, 4.2), squeeze=False, layout="constrained")
    for axis, (title, metric) in zip(axes.flat, metrics.items(), strict=True):
        for name, curve in _curves(metric, ks).items():
            values = [each["value"] for each in curve]
            style = ":" if name == "average" else "-"
            axis.plot(ks, values, style, marker="" if name == "average" else ".", color=COLORS[name], label=name)
            if name != "average":
                low, high = [each["low"] for each in curve], [each["high"] for each in curve]
                axis.fill_between(ks, low, high, color=COLORS[name], alpha=0.15)
        axis.set_xscale("log", base=2)
        axis.set_xticks(ks, [str(k) for k in ks])
        axis.set_title(TITLES[title], fontsize=10)
        axis.set_xlabel("candidates (k)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(f"best of k, {figures['problems']} problems", fontsize=11)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
