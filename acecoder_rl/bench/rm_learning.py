"""Does a reward model learn from a real model's samples? `python -m acecoder_rl.bench.rm_learning --mbpp FILE`.

Covers: samples of SmolLM2-135M-Instruct on MBPP's training problems -> verdicts -> pairs -> `train-rm` -> best-of-8 on
    MBPP's test problems, which the reward model never saw; against the average of the samples, with its interval, and
    against rules that need no model. On a CPU. Killed at any moment, the same command goes on.
Does not cover: the parts themselves (evaluation/, reward_model/training/).
What differs from AceCoder: MBPP has three tests a problem, of which the first is shown, and a small model's wrong
    programs pass none of them mostly, so those are rejected as well; AceCoder leaves them out.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from acecoder_rl.commands.told import errors_told, training_told
from acecoder_rl.completions import extract_program
from acecoder_rl.evaluation.best_of_n import BestOfN, ScoreError, best_of_n, gather
from acecoder_rl.evaluation.best_of_n_shown import draw, print_table
from acecoder_rl.evaluation.candidate_sampling import Sampling
from acecoder_rl.evaluation.candidates import Candidates
from acecoder_rl.evaluation.estimates import METRICS, Ranked, report
from acecoder_rl.evaluation.ledger import SETTINGS
from acecoder_rl.evaluation.sampling import SamplingFailed
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError, iter_rows, jsonl_line

TRAIN, TEST = range(601, 975), range(11, 511)  # MBPP's own splits, by task_id
MODEL = "runs/models/smollm2-135m-instruct"
RECIPE = "recipes/rm_quickstart.yaml"
# As the quickstart has it: the model's chat format without a system turn; the answer begins inside a code block.
TEMPLATE = "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
PREFIX = "```python\n"
CHOSEN, GAP = 0.8, 0.4  # AceCoder's rule
PER_PROBLEM = 12  # pairs: a problem that half of the samples solve would have dozens

console = Console(stderr=True)


def problems(mbpp: Path, wanted: range, limit: int, seen: set[str]) -> list[dict[str, Any]]:
    """Rows of a split that ask for none of the functions in `seen`, to which theirs are added; shuffled."""
    rows = []
    for row in iter_rows(mbpp):
        if row.record is None or not {"task_id", "text", "test_list"} <= row.record.keys():
            raise InputError(f"{row.where} is no row of MBPP: give its mbpp.jsonl (task_id, text, test_list)")
        problem = Problem.from_record(row.record, where=row.where)
        if int(problem.id) in wanted and problem.entry_point not in seen:
            rows.append((problem.entry_point, row.record))
    random.Random(0).shuffle(rows)
    chosen = rows[:limit]
    seen |= {name for name, _ in chosen if name}
    return [
        {
            "id": record["task_id"],
            # The function's name stands in the tests alone.
            "question": f"{record['text'].strip()}\nYour code should pass this test:\n{record['test_list'][0]}",
            "test_list": record["test_list"],
            "test_setup_code": record.get("test_setup_code", ""),
        }
        for _, record in chosen
    ]


def pairs(found: Sequence[Candidates]) -> Iterator[dict[str, Any]]:
    """Preference pairs in AceCodePair-300K's schema, of different completions of one problem.

    What is chosen passes at least CHOSEN of the tests, and GAP more than what is rejected. At most PER_PROBLEM a
    problem, each completion about as often as the others; what passes something is rejected first.
    """
    for each in found:
        rates = {one.text: one.known.pass_rate for one in each.completions if one.known is not None}
        rng = random.Random(each.id)
        texts = sorted(rates)
        rng.shuffle(texts)
        right = [text for text in texts if rates[text] >= CHOSEN]
        wrong = sorted((text for text in texts if rates[text] < CHOSEN), key=lambda text: rates[text] == 0)
        turns = [(right[(at + shift) % len(right)], bad) for shift in range(len(right)) for at, bad in enumerate(wrong)]
        for chosen, rejected in [pair for pair in turns if rates[pair[0]] - rates[pair[1]] >= GAP][:PER_PROBLEM]:
            yield {
                "instruction": each.question, "input": "", "chosen": chosen, "rejected": rejected,
                "chosen_score": rates[chosen], "rejected_score": rates[rejected], "problem": each.id,
            }  # fmt: skip


def _parses(text: str) -> float:
    code = extract_program(text).code
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0.0
    return float(bool(code.strip()))


RULES: dict[str, Callable[[str], float]] = {
    "longest": len,
    "shortest": lambda text: -len(text),
    "parses": _parses,
}


def baselines(found: Sequence[Candidates]) -> dict[str, Any]:
    """What rules without a model pick, as the reward model's figures have it: best of all, and the gain."""
    told = {}
    for name, rule in RULES.items():
        known = [[(rule(one.text), one.known) for one in each.completions if one.known] for each in found]
        figures = report(
            [Ranked([s for s, _ in k], [v.passed for _, v in k], [v.pass_rate for _, v in k]) for k in known]
        )
        last = str(figures["steps"][-1])
        told[name] = {
            metric: {key: figures["metrics"][metric][key][last] for key in ("best_of", "gain")} for metric in METRICS
        }
    return told


def _options(source: Path, folder: Path, sampling: Sampling, reward_model: str | None = None) -> BestOfN:
    resume = (folder / SETTINGS).exists()
    return BestOfN(
        source,
        folder,
        reward_model,
        sampling=sampling,
        limits={"test_seconds": 2.0},
        require="namespaces",
        resume=resume,
    )


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".tmp")
    half.write_bytes(b"".join(map(jsonl_line, rows)))
    half.replace(path)
    return path


def _train(recipe: str, overrides: list[str], folder: Path) -> Path:
    from acecoder_rl.reward_model.training.folder import RmFolder
    from acecoder_rl.reward_model.training.train import train

    run = RmFolder(folder)
    if not (run.model / "config.json").exists():  # it is put there whole, when all is trained
        if run.used and run.last_checkpoint() is None:
            shutil.rmtree(run.path)  # killed before there was anything to go on from
        train(recipe, [*overrides, f"logging.folder={folder}"], resume=run.used)
    return run.model


def learn(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run it all; the result, which is also in <folder>/result.json."""
    from acecoder_rl.starter import model

    folder, began = Path(arguments.folder), time.monotonic()
    seconds: dict[str, float] = {}

    def done(what: str) -> None:
        seconds[what] = round(time.monotonic() - began - sum(seconds.values()), 1)
        console.print(f"{what}: {seconds[what]:.0f} s", highlight=False)

    model.make(Path(arguments.model))
    seen: set[str] = set()
    train = problems(Path(arguments.mbpp), TRAIN, arguments.train, seen)
    test = problems(Path(arguments.mbpp), TEST, arguments.test, seen)

    def sampling(samples: int) -> Sampling:
        return Sampling(
            arguments.model, samples, max_new_tokens=arguments.max_new_tokens, prompt_template=TEMPLATE, chat=False,
            assistant_prefix=PREFIX, device="cpu",
        )  # fmt: skip

    source = _write(folder / "train.jsonl", train)
    found = gather(_options(source, folder / "train", sampling(arguments.train_samples)))
    made = list(pairs(found))
    done("sampling and judging the training problems")
    if not made:
        raise InputError(f"no pairs: none of {len(train)} training problems has right and wrong samples: give more")
    _write(folder / "pairs.jsonl", made)
    overrides = [f"model.path={arguments.model}", f"data.path={folder / 'pairs.jsonl'}", *arguments.overrides]
    reward_model = _train(RECIPE, overrides, folder / "rm")
    done("training the reward model")
    source = _write(folder / "test.jsonl", test)
    options = _options(source, folder / "best-of-n", sampling(arguments.test_samples), str(reward_model))
    outcome = best_of_n(options)
    assert outcome.report is not None
    done("best of n on the test problems")
    draw(outcome.report, options.folder)
    held_out = folder / "rm" / "report.json"
    rates = [one.known.passed for each in found for one in each.completions if one.known]
    result = {
        "settings": vars(arguments),
        "train_problems": len(train),
        "train_samples_passing": round(sum(rates) / len(rates), 4),
        "pairs": len(made),
        "pair_problems": len({pair["problem"] for pair in made}),
        "held_out_pairs": json.loads(held_out.read_text()) if held_out.exists() else None,
        "best_of_n": outcome.report,
        "rules": baselines(gather(_options(source, options.folder, options.sampling, str(reward_model)))),
        "seconds_of_this_run": seconds,  # a run that went on has only its own
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def _tell(result: dict[str, Any], folder: str) -> None:
    print(f"reward model: {result['pairs']} pairs of {result['pair_problems']} of {result['train_problems']} problems")
    print_table(result["best_of_n"])
    for name, rule in result["rules"].items():
        best, gain = rule["all_pass"]["best_of"], rule["all_pass"]["gain"]
        print(
            f"without a model, {name + ':':9} all tests pass {best['value']:.3f}, above average {gain['value']:+.3f} "
            f"({gain['low']:+.3f} .. {gain['high']:+.3f})"
        )
    print(f"all of it: {folder}/result.json")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m acecoder_rl.bench.rm_learning", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--mbpp", required=True, help="MBPP's mbpp.jsonl, 974 rows")
    parser.add_argument("--folder", default="runs/rm-learning", help="where all of it goes; goes on with what is there")
    parser.add_argument("--model", default=MODEL, help="made from its PyPI package where it is missing")
    parser.add_argument("--train", type=int, default=len(TRAIN), help="problems of MBPP's training split")
    parser.add_argument("--train-samples", type=int, default=16)
    parser.add_argument("--test", type=int, default=200, help="problems of MBPP's test split")
    parser.add_argument("--test-samples", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=C", help="as of train-rm")
    arguments = parser.parse_args()
    try:
        with errors_told(hint="the same command goes on"), training_told():
            _tell(learn(arguments), arguments.folder)
    except (ScoreError, SamplingFailed) as error:
        print(f"rm_learning: {error}", file=sys.stderr)
        return 1
    except typer.Exit as told:
        return told.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
