"""The figures of a run's report, as one piece of HTML with its script in it.

Covers: funnel, tests a question, pass rates, what was dropped and why, by stage and by test; plotly.
Does not cover: the numbers (report_numbers.py), tables and examples (report_page.py).
"""

from __future__ import annotations

import html
from collections import Counter
from typing import Any

from acecoder_rl.synthesis.report_numbers import STEPS, Numbers

REASONS = 15  # shown: the most frequent


def figures(numbers: Numbers) -> str:
    """A `div` that plotly fills; the same numbers give the same text."""
    from plotly.subplots import make_subplots

    panels = {title: bars for title, bars in _panels(numbers).items() if any(values for values in bars.values())}
    if not panels:
        return "<p>No stage has written anything yet.</p>"
    rows = (len(panels) + 1) // 2
    titles = [html.escape(title) for title in panels]
    figure = make_subplots(rows=rows, cols=2, subplot_titles=titles, vertical_spacing=0.3 / rows)
    for index, (title, bars) in enumerate(panels.items()):
        place = {"row": index // 2 + 1, "col": index % 2 + 1}
        lying = title in (FUNNEL, ROWS, TESTS)
        for name, values in bars.items():
            keys, counts = list(values), list(values.values())
            told = "%{y}: %{x:,}" if lying else "%{x}: %{y:,}"
            figure.add_bar(
                x=counts if lying else keys,
                y=keys if lying else counts,
                orientation="h" if lying else "v",
                name=html.escape(name),
                showlegend=len(bars) > 1,
                legendgroup=title,
                text=[f"{count:,}" for count in counts] if title == FUNNEL else None,
                width=0.8 / STEPS / len(bars) if title in (PROGRAMS, MEANS) else None,
                hovertemplate=f"{told}<extra>{html.escape(name)}</extra>",
                **place,
            )
        if title in (PROGRAMS, MEANS):
            figure.update_xaxes(range=[-1 / STEPS, 1 + 1 / STEPS], **place)
        if lying:
            figure.update_yaxes(autorange="reversed", automargin=True, **place)
    figure.update_layout(height=360 * rows + 100, template="plotly_white", bargap=0.15, margin={"t": 50})
    # As the training curves have it: the script stands in the page, which opens without a network.
    return figure.to_html(include_plotlyjs=True, full_html=False, div_id="figures", config={"displaylogo": False})


FUNNEL = "rows left"
PROGRAMS = "programs, by pass rate"
MEANS = "questions, by mean pass rate of their programs"
ROWS = "rows dropped, by stage and reason"
TESTS = "tests dropped, by reason"


def _panels(numbers: Numbers) -> dict[str, dict[str, dict[Any, int]]]:
    """Panel -> series -> bar -> count."""
    dropped: Counter[str] = Counter()
    for name, state in numbers.states.items():
        dropped.update({html.escape(f"{name}: {reason}"): count for reason, count in state.dropped.items()})
    verify = numbers.states.get("verify")
    prefix = "tests_dropped."
    tests = Counter(
        {
            html.escape(name.removeprefix(prefix)): count
            for name, count in (verify.counts if verify else {}).items()
            if name.startswith(prefix)
        }
    )
    return {
        FUNNEL: {"rows": numbers.funnel()},
        "questions, by number of tests": {"imagined": _sorted(numbers.imagined), "kept": _sorted(numbers.kept)},
        PROGRAMS: {name: _rates(counts) for name, counts in sorted(numbers.rates.items())},
        MEANS: {"questions": _rates(numbers.means)},
        ROWS: {"rows": dict(dropped.most_common(REASONS))},
        TESTS: {"tests": dict(tests.most_common(REASONS))},
    }


def _sorted(counts: Counter[int]) -> dict[int, int]:
    return dict(sorted(counts.items()))


def _rates(counts: Counter[int]) -> dict[float, int]:
    return {step / STEPS: counts[step] for step in sorted(counts)}
