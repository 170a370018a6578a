"""A run on one screen: step, reward, pass rate, time-outs, and where the seconds go.

Covers: a live table on a terminal; one line a step elsewhere.
Does not cover: the workers' own output, which is in train.log.
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from acecoder_rl.training.metrics import RATES, Report

ROWS = 12  # of the last steps
# Column: OpenRLHF's name and how it is shown.
Columns = dict[str, tuple[str, str]]
COLUMNS: Columns = {
    "reward": ("rollout/reward_mean", "{:.3f}"),
    "pass rate": ("pass_rate", "{:.3f}"),
    "all passed": ("all_passed", "{:.3f}"),
    "held out": ("holdout_pass_rate", "{:.3f}"),
    "time-outs": ("timeouts", "{:.2f}"),
    "truncated": ("truncated", "{:.2f}"),
    "tokens": ("rollout/response_length_mean", "{:.0f}"),
    "rollout s": ("timing/generation", "{:.1f}"),
    "experience s": ("timing/make_experience", "{:.1f}"),
    "train s": ("timing/ppo_train", "{:.1f}"),
    "sync s": ("timing/broadcast", "{:.1f}"),
    "sandbox s": ("sandbox_seconds", "{:.3f}"),
}


class Screen:
    """Shows reports as they come; a context manager.

    Args:
        title: what runs.
        steps: of the whole run, where known.
        console: where to; stderr by default.
        columns: what is shown of a report.
    """

    def __init__(
        self, title: str, steps: int | None, console: Console | None = None, columns: Columns = COLUMNS
    ) -> None:
        self.title = title
        self.steps = steps
        self.console = console or Console(stderr=True)
        self.columns = columns
        self.reports: list[Report] = []
        self.evals: list[Report] = []
        self._began = self._last = time.monotonic()
        self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=2)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
        else:
            self.console.print(
                f"{self.title}: loading models, then {self.steps or 'some'} steps",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def show(self, report: Report) -> None:
        """Take in a report."""
        self._last = time.monotonic()
        (self.reports if report.kind == "train" else self.evals).append(report)
        if not self._live.is_started:
            self.console.print(line(report, self.steps, self.columns), markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> Any:
        table = Table(*["step", *self.columns], box=None, header_style="bold", pad_edge=False)
        for column in table.columns:
            column.justify = "right"
        for report in self.reports[-ROWS:]:
            table.add_row(str(report.step), *cells(report, self.columns))
        grid = Table.grid()
        grid.add_row(Text(f"{self.title}   {self._state()}", style="bold"))
        grid.add_row(table)
        for report in self.evals[-2:]:
            grid.add_row(Text(line(report, self.steps, self.columns)))
        return grid

    def _state(self) -> str:
        now = time.monotonic()
        elapsed = _clock(now - self._began)
        if not self.reports:
            return f"loading models {elapsed}"
        step = self.reports[-1].step
        done = f"step {step}" + (f" of {self.steps}" if self.steps else "")
        seconds = sum(r.values.get("timing/step_total", 0.0) for r in self.reports) / len(self.reports)
        left = f", about {_clock(max(0, self.steps - step) * seconds)} left" if self.steps else ""
        return f"{done}, {elapsed}{left}, last report {_clock(now - self._last)} ago"


def cells(report: Report, columns: Columns = COLUMNS) -> list[str]:
    """A report's row; a number it lacks is '-'."""
    return [form.format(report.values[key]) if key in report.values else "-" for key, form in columns.values()]


def line(report: Report, steps: int | None, columns: Columns = COLUMNS) -> str:
    """A report in one line, for logs."""
    if report.kind == "eval":
        told = ", ".join(
            f"{k.removeprefix('eval_')} {v:.3f}" for k, v in report.values.items() if any(part in k for part in RATES)
        )
        return f"eval after step {report.step}: {told}"
    told = "  ".join(
        f"{name} {cell}" for name, cell in zip(columns, cells(report, columns), strict=True) if cell != "-"
    )
    return f"step {report.step}" + (f"/{steps}" if steps else "") + f"  {told}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return (
        f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
    )
