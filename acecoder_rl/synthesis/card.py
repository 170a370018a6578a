"""The dataset's card: README.md with the header that the Hub and `datasets` read.

Covers: configs and splits, counts of every stage with its drops by reason, models, sources, the licence that the recipe
    states, what a pass rate is.
Does not cover: the files that it describes (dataset.py).
It is made of the stages' own figures and settings, so it takes no pass over the rows, and names no model that was not
asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis.build import BuildSettings
from acecoder_rl.synthesis.state import State, state_of

STAGES = ("seeds", "imagine", "verify", "sample", "build", "pairs", "hard")
CONFIGS = {"build": ("default", "data"), "hard": ("hard", "hard"), "pairs": ("pairs", "pairs")}
PROMPTS = {"prompts": "", "hard_prompts": "hard_"}
SPLITS = ("train", "eval")
FILES = {"openrlhf": "jsonl", "verl": "parquet", "trl": "parquet"}
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
ABOUT = {
    "default": "questions with tests and sampled programs, in AceCode-87K's schema",
    "hard": "the hard ones of {source}, as they stand",
    "pairs": "preference pairs, in AceCodePair-300K's schema with `margin`, `chosen_score`, `rejected_score`, "
    "`question_id`",
}
USES = {"imagine": "questions and tests", "verify": "the oracle, which tests were kept by", "sample": "programs"}
RATES = """\
`pass_rate` is the share of the question's `test_cases` that the program passes, measured in acecoder-rl's sandbox. It
is over the tests that were kept, so a program that passes them all has 1. (In AceCode-87K it is over all tests that
were imagined, dropped ones included.) `margin` of a pair is `chosen_score - rejected_score`, the gap between the two
programs' pass rates."""


def text(folder: Path, settings: BuildSettings, tables: dict[str, State], prompts: dict[str, dict[str, int]]) -> str:
    """The card.

    Args:
        folder: of the run.
        tables: the finished ones of the stages build, pairs and hard.
        prompts: of each folder of prompt files, what prompt_files.write returned.
    """
    name = settings.name or folder.resolve().name
    foreign = _foreign(tables)
    own = "build" in tables or not foreign
    # What stands in the run's folder beside another dataset's hard rows has no part in them.
    names = STAGES if own else ("hard",)
    stages = {stage: state for stage in names if (state := state_of(folder, stage)) is not None}
    made = "made from seed code by" if own else f"chosen from {foreign} by"
    blocks = [
        _header(name, settings, tables, prompts),
        f"# {name}",
        f"Coding problems with tests, {made} `acecoder-rl synthesize`.",
        "## Files\n\n" + _table(("config", "split", "rows", "what"), _files(tables, prompts)),
        *_left_out(prompts),
        "## Pass rates\n\n" + "\n\n".join(_rates(own, foreign)),
        "## How it was made\n\n" + _table(("stage", "rows in", "rows out", "dropped"), _funnel(stages)),
    ]
    if built := tables.get("build"):
        blocks.append(_figures(built))
    if models := list(_models(stages)):
        blocks.append("## Models\n\n" + _table(("used for", "name", "model"), models))
    theirs = (*(("the seeds", "the models") if own else ()), *((foreign,) if foreign else ()))
    licence = settings.license or f"none stated: see the licences of {' and of '.join(theirs)}"
    blocks.append(f"## Licence\n\n{licence}")
    return "\n\n".join(blocks) + "\n"


def _header(name: str, settings: BuildSettings, tables: dict[str, State], prompts: dict[str, dict[str, int]]) -> str:
    import yaml

    rows = sum(state.kept for state in tables.values())
    size = next((index for index, size in enumerate(SIZES) if rows < size), len(SIZES))
    header: dict[str, Any] = {"pretty_name": name}
    if settings.license:
        header["license"] = settings.license
    header |= {
        "task_categories": ["text-generation"],
        "tags": ["code", "python", "acecode"],
        "size_categories": [("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")[size]],
        "configs": list(_configs(tables, prompts)),
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---"


def _configs(tables: dict[str, State], prompts: dict[str, dict[str, int]]) -> Iterator[dict[str, Any]]:
    """What `datasets` can load by name: it takes no config without rows, and no JSONL beside Parquet."""
    for stage, (config, folder) in CONFIGS.items():
        if stage in tables and tables[stage].kept:
            yield {
                "config_name": config,
                "data_files": [{"split": "train", "path": f"{folder}/*.parquet"}],
            }
    for folder, counts in prompts.items():
        for form, ending in FILES.items():
            files = [{"split": split, "path": f"{folder}/{form}/{split}.{ending}"} for split in SPLITS if counts[split]]
            if files and ending == "parquet":
                yield {"config_name": f"{PROMPTS[folder]}{form}", "data_files": files}


def _files(tables: dict[str, State], prompts: dict[str, dict[str, int]]) -> Iterator[tuple[Any, ...]]:
    for stage, (config, _) in CONFIGS.items():
        if stage in tables:
            yield f"`{config}`", "train", tables[stage].kept, ABOUT[config].format(source=_foreign(tables) or "these")
    for folder, counts in prompts.items():
        of = "the hard questions" if PROMPTS[folder] else "the questions"
        for form, ending in FILES.items():
            for split in SPLITS:
                if rows := counts[split]:
                    config = f"`{PROMPTS[folder]}{form}`" if ending == "parquet" else ""
                    what = f"{of} as prompts with labels, for {form}: `{folder}/{form}/{split}.{ending}`"
                    yield config, split, rows, what


def _left_out(prompts: dict[str, dict[str, int]]) -> Iterator[str]:
    for folder, counts in prompts.items():
        if left_out := counts["left_out"]:
            yield f"{left_out:,} questions have tests that acecoder-rl cannot read: `{folder}` is without them."


def _funnel(stages: dict[str, State]) -> Iterator[tuple[Any, ...]]:
    for stage, state in stages.items():
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(state.dropped.items()))
        running = "" if state.state == "finished" else " (not finished)"
        yield f"{stage}{running}", state.read, state.kept, dropped or "none"


def _figures(built: State) -> str:
    counts, rows = built.counts, max(built.kept, 1)
    tests, samples = counts.get("tests", 0), counts.get("inferences", 0)
    lines = [
        f"{tests:,} tests ({tests / rows:.2f} a question) and {samples:,} programs ({samples / rows:.2f} a question)."
    ]
    for title, prefix in (("Questions by source", "source "), ("Programs by model", "inferences of ")):
        found = {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
        if found:
            lines.append(f"{title}: {', '.join(f'{name} {count:,}' for name, count in sorted(found.items()))}.")
    return "\n\n".join(lines)


def _foreign(tables: dict[str, State]) -> str:
    """Where the hard rows are from, if not from this run."""
    source = tables["hard"].settings.get("source") if "hard" in tables else None
    return f"`{_public(source)}`" if source else ""


def _rates(own: bool, foreign: str) -> Iterator[str]:
    if own:
        yield RATES
    if foreign:
        yield f"The rows of `hard` were chosen from {foreign}, whose pass rates they keep."


def _models(stages: dict[str, State]) -> Iterator[tuple[str, str, str]]:
    """What stages asked, by their settings (stage_table.settings_of); one that was run by itself tells of none."""
    for stage, use in USES.items():
        models = stages[stage].settings.get("/models") if stage in stages else None
        for name, model in (models or {}).items():
            yield use, name, f"`{_public(str(model.get('model') or model.get('path')))}`"


def _public(path: str) -> str:
    """A model's or dataset's name as others know it: of a folder or file of this machine, the last part."""
    here = Path(path).expanduser()
    return here.name if here.is_absolute() or here.exists() else path


def _table(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else _cell(str(cell)) for cell in line)} |"
        for line in lines
    )


def _cell(value: str) -> str:
    return value.replace("|", r"\|").replace("\n", " ")
