"""`acecoder-rl train`: a recipe -> checks -> prompt files -> a run that is watched -> its curves.

Covers: the order of things, and that nothing is started before all that can be checked is.
Does not cover: each of them (load.py, checks.py, resume.py, data.py, launch.py, curves.py), jobs on a cluster
    (ray_job.py).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

from acecoder_rl.training import curves, metrics
from acecoder_rl.training.allocation import check_here
from acecoder_rl.training.checks import check
from acecoder_rl.training.data import Prepared, prepare
from acecoder_rl.training.driver import Plan
from acecoder_rl.training.launch import launch
from acecoder_rl.training.load import load_recipe, resolved_yaml
from acecoder_rl.training.model_path import missing
from acecoder_rl.training.openrlhf_parser import check_arguments
from acecoder_rl.training.placement import parts
from acecoder_rl.training.plan import arguments
from acecoder_rl.training.recipe import Recipe, RecipeError
from acecoder_rl.training.resume import changes, check_left, check_prompts
from acecoder_rl.training.reward_model import calibrated, filled, to_serve
from acecoder_rl.training.run_folder import RunFolder, check_folder, near
from acecoder_rl.training.screen import Screen


def train(recipe_file: str, overrides: Iterable[str] = (), resume: bool = False) -> RunFolder:
    """Train as a recipe says, on this machine or the Ray cluster that RAY_ADDRESS names.

    Args:
        overrides: "section.field=value", as of `--set`.
        resume: go on from the folder's last checkpoint.

    Raises:
        RecipeError: something in the recipe or its data is wrong; nothing was started.
        NotInstalled, UnknownVersion: what the recipe needs is not here.
        RunFailed, Stopped: see launch.py.
    """
    recipe = load_recipe(recipe_file, overrides)
    run = RunFolder(recipe.logging.folder)  # type: ignore[arg-type]  # load_recipe fills it in
    screen = Screen(f"{Path(recipe_file).name} -> {near(run.path)}", None)
    warnings = check(recipe, recipe_file)
    check_folder(run, recipe_file, resume)
    changed = changes(recipe, run, recipe_file) if resume else []
    _check_model(recipe, recipe_file)
    check_here(recipe, recipe_file)
    argv = arguments(recipe, resume)
    checked = check_arguments(argv, recipe_file)
    if recipe.resources.device == "cpu":
        from acecoder_rl.training.cpu import check_versions

        check_versions()
    with run.held(recipe_file, resume):
        check_folder(run, recipe_file, resume)  # another run may have come and gone
        prepared = _prepare_again(recipe, run, recipe_file) if resume else prepare(recipe, run.data, progress=True)
        run.begin(resolved_yaml(recipe), argv)
        for told in changed:
            screen.console.print(f"notice: {told}", markup=False, highlight=False, soft_wrap=True)
        for told in [*warnings, *prepared.warnings, *(f"OpenRLHF: {line}" for line in checked.warnings)]:
            screen.console.print(f"warning: {told}", markup=False, highlight=False, soft_wrap=True)
        screen.steps = steps(recipe, prepared)
        if resume and (step := run.last_checkpoint()) is not None:
            screen.console.print(f"going on from step {step}", highlight=False)
            run.go_back_to(step)
            metrics.forget_after(run.metrics, step)
        try:
            with screen:
                launch(plan_of(recipe, argv), run, screen)
        finally:
            curves.draw(run)
    return run


def plan_of(recipe: Recipe, argv: list[str]) -> Plan:
    """What the driver is told of a recipe."""
    resources = recipe.resources
    threads = resources.threads or len(os.sched_getaffinity(0))
    # Of this run alone: in a Ray cluster there may be others.
    name = f"acecoder-rm-{uuid.uuid4().hex[:8]}"
    section = recipe.reward_model
    endpoint = (section.endpoint if section else None) or f"ray://{name}"
    return Plan(
        arguments=argv,
        reward=filled(recipe.reward, endpoint, calibrated(section)),
        sandbox=recipe.sandbox,
        assistant_prefix=recipe.data.assistant_prefix,
        device=resources.device,
        threads=threads,
        parts=parts(recipe),
        reward_model=to_serve(recipe, name, threads),
        address=os.environ.get("RAY_ADDRESS") or None,
        rollouts=str(RunFolder(recipe.logging.folder).rollouts) if recipe.logging.rollouts else None,  # type: ignore[arg-type]
        rollouts_mb=recipe.logging.rollouts_mb,
    )


def steps(recipe: Recipe, prepared: Prepared) -> int | None:
    """Of the whole run; None where filtering decides."""
    if recipe.rollout.dynamic_filtering:
        return None
    return prepared.steps_per_episode * recipe.train.episodes


def _prepare_again(recipe: Recipe, run: RunFolder, where: str) -> Prepared:
    """The files of a run that goes on: none is replaced before they are known to be the ones it began with."""
    with tempfile.TemporaryDirectory(dir=run.path) as scratch:
        prepared = prepare(recipe, Path(scratch), progress=True)
        began_with = run.data / prepared.train.name
        check_prompts(began_with, prepared.train, where, prepared.dated)
        check_left(recipe, prepared, run, where)
        run.data.mkdir(exist_ok=True)
        if not began_with.exists():
            prepared.train.replace(began_with)
        if prepared.eval is not None:
            prepared.eval.replace(run.data / prepared.eval.name)
    return prepared


def _check_model(recipe: Recipe, where: str) -> None:
    """A folder that is not there would be asked of the Hub, minutes later, by each worker."""
    for field in ("path", "critic_path"):
        path = getattr(recipe.model, field)
        if path and missing(path):
            mend = "give a folder or a Hub id (make quickstart makes the starter model)"
            raise RecipeError([f"{where}: model.{field} is {path!r}, which does not exist: {mend}"])
