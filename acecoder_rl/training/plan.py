"""What a recipe would do, told without doing it: `acecoder-rl train RECIPE --dry-run`.

Covers: steps and samples, GPUs, the exact OpenRLHF command, warnings, what OpenRLHF's own code says of the
    arguments, what nothing here could check. Touches no network and no GPU.
Does not cover: starting it (launch.py).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from acecoder_rl.training.allocation import outlook
from acecoder_rl.training.batches import prompt_multiple
from acecoder_rl.training.checks import check
from acecoder_rl.training.data import Inspection, inspect, too_few
from acecoder_rl.training.driver import TRAINER
from acecoder_rl.training.errors import NotInstalled
from acecoder_rl.training.flags import flags
from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.openrlhf_parser import Checked, check_arguments
from acecoder_rl.training.placement import engine_memory, gpus_used, judge, roles
from acecoder_rl.training.recipe import Recipe, RecipeError
from acecoder_rl.training.resume import changes
from acecoder_rl.training.run_folder import RunFolder, check_folder


def arguments(recipe: Recipe, resume: bool = False) -> list[str]:
    """OpenRLHF's arguments for a run in the recipe's folder."""
    run = _folder(recipe)
    eval_file = run.data / "eval.jsonl" if recipe.data.eval else None
    return flags(recipe, run.path, run.data / "train.jsonl", eval_file, resume)


def explain(recipe: Recipe, where: str, resume: bool = False) -> str:
    """The plan of a run, as text.

    Args:
        where: the recipe's file, for messages.
        resume: of one that goes on.

    Raises:
        RecipeError: the recipe does not fit together, OpenRLHF refuses it, or there is nothing to go on with.
    """
    wrong: list[str] = []
    warnings: list[str] = []
    try:
        warnings += check(recipe, where)
    except RecipeError as error:
        wrong += error.mistakes
    if resume:
        try:
            check_folder(_folder(recipe), where, resume)
            warnings += changes(recipe, _folder(recipe), where)
        except RecipeError as error:
            wrong += error.mistakes
    try:
        problems = inspect(recipe.data, recipe.reward)
    except RecipeError as error:
        wrong += [f"{where}: {line}" for line in error.mistakes]
    if wrong:
        raise RecipeError(wrong)
    warnings += [f"{where}: {line}" for line in problems.warnings]
    if (rows := _prompts(recipe, problems)) is not None and (told := too_few(recipe, rows)):
        warnings.append(f"{where}: training will not start: {told}")
    argv = arguments(recipe, resume)
    unchecked: list[str] = []
    checked: Checked | None = None
    try:
        checked = check_arguments(argv, where)
    except NotInstalled as reason:
        unchecked.append(str(reason))
    unchecked += [*problems.unchecked, *_models(recipe)]
    blocks = [
        [f"{where}: the recipe fits together; nothing was started"],
        _facts(recipe, problems),
        _gpus(recipe),
        outlook(recipe),
        ["command" + (" (run by acecoder-rl's driver, in fp32)" if recipe.resources.device == "cpu" else "")]
        + [f"  {line}" for line in command(argv)],
        _openrlhf(checked) if checked else [],
        _list("warnings", warnings),
        _list("unchecked", unchecked),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def command(argv: list[str]) -> list[str]:
    """The lines of the command as a shell takes them, a flag a line."""
    lines = [f"python -m {TRAINER}"]
    for text in argv:
        if text.startswith("--"):
            lines.append(f"  {shlex.quote(text)}")
        else:
            lines[-1] += f" {shlex.quote(text)}"
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _folder(recipe: Recipe) -> RunFolder:
    return RunFolder(recipe.logging.folder)  # type: ignore[arg-type]  # load_recipe fills it in


def _facts(recipe: Recipe, problems: Inspection) -> list[str]:
    rollout, train, data = recipe.rollout, recipe.train, recipe.data
    samples = rollout.batch_size * rollout.n_samples_per_prompt
    updates = samples // train.batch_size * train.max_epochs
    kl = f"KL {train.kl_coef:g}" if train.kl_coef else "no KL"
    rows = {
        "policy": recipe.model.path,
        "algorithm": f"{train.advantage_estimator}, learning rate {train.learning_rate:g}, {kl}",
        "reward": ", ".join(f"{name} {value}" for name, value in recipe.reward.items() if name != "parts"),
        **_judge(recipe),
        "a step": f"{rollout.batch_size} prompts x {rollout.n_samples_per_prompt} = {samples} samples, "
        f"{updates} optimizer {'step' if updates == 1 else 'steps'} of {train.batch_size}",
        "steps": _steps(recipe, _prompts(recipe, problems)),
        "tokens": f"{data.max_prompt_tokens} of the prompt + {rollout.max_new_tokens} of the answer",
        "evaluation": _evaluation(recipe, problems.eval_problems),
        "checkpoints": f"every {train.save_steps} steps, the last {train.keep_checkpoints} are kept"
        if train.save_steps
        else "none",
        "folder": str(recipe.logging.folder),
        "rollouts": f"logged, at most {recipe.logging.rollouts_mb} MiB" if recipe.logging.rollouts else "not logged",
    }
    return [f"{name:<12} {told}" for name, told in rows.items()]


def _judge(recipe: Recipe) -> dict[str, str]:
    section = recipe.reward_model
    if section is None:
        return {}
    if section.path is None:
        return {"reward model": str(section.endpoint)}
    served = judge(recipe)
    copies = served.replicas if served else 0
    return {"reward model": f"{section.path}, {copies} {'copy' if copies == 1 else 'copies'}"}


def _prompts(recipe: Recipe, problems: Inspection) -> int | None:
    """Of an episode, over-long ones among them; None where that is not known."""
    if problems.train_problems is None:
        return None
    return min(problems.train_problems, recipe.data.max_prompts or problems.train_problems)


def _steps(recipe: Recipe, problems: int | None) -> str:
    batch, episodes = recipe.rollout.batch_size, recipe.train.episodes
    if problems is None:
        return (
            f"problems / {batch} an episode, of which there are {episodes}; how many problems there are is "
            "not known yet"
        )
    used = problems - problems % prompt_multiple(recipe)
    steps = math.ceil(used / batch)
    all_steps = f"{steps}" if episodes == 1 else f"{steps} x {episodes} episodes = {steps * episodes}"
    about = "at most " if recipe.rollout.dynamic_filtering else ""
    left = f", {problems - used} left out to fill the last step" if used < problems else ""
    return f"{about}{all_steps}, from {problems} prompts{left}"


def _evaluation(recipe: Recipe, problems: int | None) -> str:
    train = recipe.train
    if not recipe.data.eval or train.eval_steps is None:
        return "none while training"
    count = "problems" if problems is None else f"{problems} problems"
    return (
        f"every {train.eval_steps} steps: {count} x {train.eval_n_samples_per_prompt} samples at temperature "
        f"{train.eval_temperature:g}"
    )


def _gpus(recipe: Recipe) -> list[str]:
    resources = recipe.resources
    logical = " (logical: all on the CPU)" if resources.device == "cpu" else ""
    lines = [f"GPUs of each of {resources.nodes} {'node' if resources.nodes == 1 else 'nodes'}{logical}"]
    for role in roles(recipe):
        shared = " the policy's" if role.shares else ""
        note = f"  ({role.note})" if role.note else ""
        lines.append(f"  {role.name:<12} {role.gpus:>3}{shared}{note}")
    lines.append(f"  {'together':<12} {gpus_used(recipe):>3} of {resources.gpus_per_node}")
    if resources.device == "gpu":
        lines.append(f"  an engine takes {engine_memory(recipe):.0%} of a GPU's memory")
    return lines


def _openrlhf(checked: Checked) -> list[str]:
    changed = [item for item in checked.rewrites if item.before is not None]
    filled = [item for item in checked.rewrites if item.before is None]
    return [
        f"OpenRLHF {checked.version} takes these arguments",
        *(f"  says: {line}" for line in checked.warnings),
        *(f"  changes {item.flag} from {item.before} to {item.after}" for item in changed),
        *(f"  fills in {item.flag} {item.after}" for item in filled),
    ]


def _models(recipe: Recipe) -> Iterator[str]:
    judge = recipe.reward_model.path if recipe.reward_model else None
    model = recipe.model
    paths = {"model.path": model.path, "model.critic_path": model.critic_path, "reward_model.path": judge}
    for name, path in paths.items():
        if path is not None and missing(path):
            yield f"{name} {path} is not there yet: training needs it (make quickstart makes the starter model)"
        elif path is not None and resolve(path) == path and not Path(path).is_dir():
            yield f"{name} {path} is looked for on the Hugging Face Hub"


def _list(title: str, lines: Iterable[str]) -> list[str]:
    lines = [f"  {line}" for line in lines]
    return [title, *lines] if lines else []
