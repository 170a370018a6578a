"""One table for all nodes of a job: what they agree in, what differs, and what must be mended where.

Covers: comparing the reports of doctor.py, one line a fact, a line more for each value that differs; the exit status.
Does not cover: gathering the reports (doctor_nodes.py).
"""

from __future__ import annotations

from typing import Any

from acecoder_rl.sandbox.host import LEVELS

Report = dict[str, Any]
# Checks whose words tell nodes apart that are alike (a path, a number of the process): only their status is compared.
BY_STATUS = {"memory cgroup", "self-test"}
SKEW_SECONDS = 1.0
SHOWN = 6  # names of nodes in a line


def facts(report: Report) -> dict[str, str]:
    """What is compared: name -> value."""
    if "error" in report:
        return {}
    host = report["host"]
    found = {"isolation": report["level"]}
    for check in report["checks"]:
        ok = check["status"] == "ok"
        found[check["name"]] = check["status"] if check["name"] in BY_STATUS and ok else check["found"]
    found["cores"] = str(host["cores"])
    found["memory"] = f"{round(host['memory_mb'] / 1024)} GiB" if host["memory_mb"] else "unknown"
    found["shared folder"] = "seen and written" if report["folder"] == "ok" else report["folder"]
    ahead = abs(report["skew"]) > SKEW_SECONDS
    found["clock"] = f"{report['skew']:+.1f} s" if ahead else f"within {SKEW_SECONDS:g} s of the first node's"
    return found


def status_of(reports: list[Report], require: str) -> int:
    """0 if every node has answered, runs programs at `require` or better, and shares the folder; else 1."""
    return 0 if not any(faults(report, require) for report in reports) else 1


def faults(report: Report, require: str) -> list[str]:
    """Why a run cannot include this node."""
    if "error" in report:
        return [report["error"]]
    found = []
    if LEVELS.index(report["level"]) > LEVELS.index(require):
        found.append(f"programs run at isolation {report['level']!r} there, {require!r} is required")
    found += [f"self-test: {c['found']}" for c in report["checks"] if c["name"] == "self-test" and c["status"] != "ok"]
    if report["folder"] != "ok":
        found.append(f"shared folder: {report['folder']}")
    return found


def show_nodes(reports: list[Report], require: str, job: str) -> None:
    """The table for people, on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    nodes = [report["node"] for report in reports]
    console.print(Text(f"{len(nodes)} nodes of Slurm job {job}: {_names(nodes, [])}", style="bold"))
    table = Table.grid(padding=(0, 1))
    table.add_column(width=7)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    colours = {"ok": "green", "warn": "yellow", "differs": "bold yellow", "missing": "red"}
    for name, groups, status in rows(reports):
        for number, (value, where) in enumerate(groups):
            mark, label = (status, name) if number == 0 else ("", "")
            place = Text(_names(where, nodes), style="bold" if status == "differs" else "dim")
            table.add_row(Text(mark, style=colours.get(mark, "")), label, Text(value), place)
    console.print(table)
    for text, where in _mends(reports).items():
        console.print(Text(f"\n{_names(where, nodes)}: ", style="bold") + Text(text))
    bad = {report["node"]: told for report in reports if (told := faults(report, require))}
    for node, told in bad.items():
        console.print(Text(f"\n{node}: {'; '.join(told)}", style="bold red"))
    if not bad:
        console.print(Text(f"\nEach node runs programs at isolation {require!r} or better.", style="bold green"))


def rows(reports: list[Report]) -> list[tuple[str, list[tuple[str, list[str]]], str]]:
    """(fact, [(value, nodes that have it)], ok | warn | missing | differs), the commonest value first."""
    compared = {report["node"]: facts(report) for report in reports if "error" not in report}
    names = list(dict.fromkeys(name for found in compared.values() for name in found))
    table = []
    for name in names:
        groups: dict[str, list[str]] = {}
        for node, found in compared.items():
            groups.setdefault(found.get(name, "not looked for"), []).append(node)
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        table.append((name, ordered, "differs" if len(groups) > 1 else _worst(reports, name)))
    silent = [report["node"] for report in reports if "error" in report]
    if silent:
        table.append(("report", [("none", silent)], "missing"))
    return table


def _worst(reports: list[Report], name: str) -> str:
    status = {c["status"] for report in reports for c in report.get("checks", []) if c["name"] == name}
    if name == "shared folder":
        status = {"ok" if report["folder"] == "ok" else "missing" for report in reports if "error" not in report}
    return next((each for each in ("missing", "warn") if each in status), "ok")


def _mends(reports: list[Report]) -> dict[str, list[str]]:
    """What is not as it should be, with cost and mend -> the nodes that it is said of."""
    told: dict[str, list[str]] = {}
    for report in reports:
        for check in report.get("checks", []):
            if check["status"] != "ok":
                costs = f"\n  costs: {check['costs']}" if check["costs"] else ""
                text = f"{check['name']}: {check['found']}{costs}\n  mend: {check['mend']}"
                told.setdefault(text, []).append(report["node"])
        if abs(report.get("skew", 0)) > SKEW_SECONDS:
            text = "clock: it differs from the first node's\n  mend: have the administrators run chrony or NTP"
            told.setdefault(text, []).append(report["node"])
    return told


def _names(nodes: list[str], of: list[str]) -> str:
    if nodes == of:
        return "all"
    more = len(nodes) - SHOWN
    return " ".join(nodes) if more <= 1 else f"{' '.join(nodes[:SHOWN])} and {more} more"
