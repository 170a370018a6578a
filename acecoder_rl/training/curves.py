"""A run's curves: one self-contained page (curves.html) and a picture (curves.png).

Covers: reward, pass rates with the withheld tests beside, what goes wrong, lengths, seconds, evaluations, by step.
Does not cover: the numbers themselves (metrics.py).
"""

from __future__ import annotations

import sys
from typing import Any

from acecoder_rl.training import metrics
from acecoder_rl.training.metrics import Report
from acecoder_rl.training.run_folder import RunFolder

# Panel: the keys it shows, under the names that its legend gives them.
PANELS: dict[str, dict[str, str]] = {
    "reward": {"rollout/reward_mean": "mean", "rollout/reward_std": "std", "group_reward_std": "std in a group"},
    "tests": {"pass_rate": "pass rate", "holdout_pass_rate": "withheld tests", "all_passed": "all passed"},
    "trouble": {
        "timeouts": "time-outs a program",
        "syntax_errors": "syntax errors",
        "no_program": "no program",
        "truncated": "truncated",
        "refused": "refused",
    },
    "tokens a completion": {"rollout/response_length_mean": "mean"},
    "policy": {"kl": "KL to the reference", "ppo_kl": "KL to the rollout's policy", "actor_grad_norm": "gradient norm"},
    "Bradley-Terry loss": {"rm/loss": "loss"},
    "pairs ranked right": {"rm/accuracy": "training batches"},
    "score of chosen above rejected": {"rm/margin": "training batches"},
    "reward model": {"rm/grad_norm": "gradient norm", "rm/score_min": "lowest score", "rm/score_max": "highest score"},
    "seconds": {
        "rm/seconds": "a step",
        "timing/generation": "rollout, with rewards",
        "timing/make_experience": "log-probs",
        "timing/ppo_train": "train",
        "timing/broadcast": "weights to vLLM",
    },
}  # fmt: skip

HEADLINE = {"rollout/reward_mean": "reward", "rm/loss": "loss"}


def draw(run: RunFolder) -> None:
    """Write both files, if the run has reported anything to draw.

    Where they cannot be written, that is told and not raised: how the run itself ended is more important.
    """
    reports = metrics.read(run.metrics)
    if panels(reports):
        try:
            _page(run, reports)
            _picture(run, reports)
        except (ImportError, OSError) as error:
            print(f"warning: no curves: {error}", file=sys.stderr)


def series(reports: list[Report], kind: str) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of each key of a kind of report."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for report in reports:
        if report.kind == kind:
            for name, value in report.values.items():
                steps, values = found.setdefault(name, ([], []))
                steps.append(report.step)
                values.append(value)
    return found


def panels(reports: list[Report]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """What there is to draw: panel, name in the legend, steps and values."""
    train = series(reports, "train")
    shown = {title: {name: train[key] for key, name in keys.items() if key in train} for title, keys in PANELS.items()}
    tests = shown["tests"]
    if tests.get("withheld tests") == tests.get("pass rate"):
        tests.pop("withheld tests", None)  # none are withheld
    shown["evaluation"] = {
        name.removeprefix("eval_").replace("_", " "): curve
        for name, curve in series(reports, "eval").items()
        if any(part in name for part in metrics.RATES)
    }
    return {title: curves for title, curves in shown.items() if curves}


def _page(run: RunFolder, reports: list[Report]) -> None:
    from plotly.subplots import make_subplots

    shown = panels(reports)
    rows = (len(shown) + 1) // 2
    figure = make_subplots(rows=rows, cols=2, subplot_titles=list(shown), vertical_spacing=0.25 / rows)
    for index, (title, curves) in enumerate(shown.items()):
        row, column = index // 2 + 1, index % 2 + 1
        for name, (steps, values) in curves.items():
            figure.add_scatter(
                x=steps, y=values, name=f"{title}: {name}", mode="lines+markers", row=row, col=column,
                hovertemplate="step %{x}: %{y:.4g}<extra>" + name + "</extra>",
            )  # fmt: skip
    figure.update_layout(title=f"{run.path.name}: {_told(reports)}", height=330 * rows + 120, template="plotly_white")
    figure.update_xaxes(title_text="step", tickformat="d")
    # The script stands in the page: it opens without a network, and in ten years.
    figure.write_html(run.page, include_plotlyjs=True, full_html=True)


def _picture(run: RunFolder, reports: list[Report]) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no display on a cluster
    from matplotlib import pyplot

    shown = panels(reports)
    rows = (len(shown) + 1) // 2
    figure, axes = pyplot.subplots(rows, 2, figsize=(11, 3 * rows), squeeze=False, layout="constrained")
    for axis, (title, curves) in zip(axes.flat, shown.items(), strict=False):
        for name, (steps, values) in curves.items():
            axis.plot(steps, values, marker=".", label=name)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    for axis in list(axes.flat)[len(shown) :]:
        axis.set_axis_off()
    figure.suptitle(f"{run.path.name}: {_told(reports)}", fontsize=11)
    figure.savefig(run.picture, dpi=110)
    pyplot.close(figure)


def _told(reports: list[Report]) -> str:
    train: list[Any] = [report for report in reports if report.kind == "train"]
    if not train:
        return "no step yet"
    key = next(key for key in (*HEADLINE, "") if key in train[0].values or not key)
    first, last = (each.values.get(key, float("nan")) for each in (train[0], train[-1]))
    return f"{train[-1].step} steps, {HEADLINE.get(key, 'reward')} {first:.3f} at first, {last:.3f} at last"
