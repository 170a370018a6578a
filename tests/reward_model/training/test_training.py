"""Real trainings of tiny models: they learn, go on after a kill as if nothing had happened, and save what they are."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import torch

from acecoder_rl.reward_model.model import AutoModelForCausalRM
from acecoder_rl.reward_model.scoring import RewardScorer
from acecoder_rl.reward_model.training import data, worker
from acecoder_rl.reward_model.training.folder import RmFolder
from acecoder_rl.reward_model.training.recipe import RmRecipe, load
from acecoder_rl.reward_model.training.train import train
from acecoder_rl.training.errors import Stopped
from acecoder_rl.training.load import resolved_yaml
from acecoder_rl.training.metrics import read
from acecoder_rl.training.recipe import RecipeError

RIGHT = "a right answer: 12 34"


def _prepared(recipe: RmRecipe) -> RmFolder:
    """What train.py does before the worker starts."""
    run = RmFolder(recipe.logging.folder)
    data.prepare(recipe.data, recipe.train.seed, data.questions(recipe.data), _tokenizer(recipe), run.data)
    run.begin(resolved_yaml(recipe), [])
    return run


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_it_learns_and_saves_what_it_trained(recipe_file: Callable[..., Path], kind: str, capsys: Any) -> None:
    recipe = load(recipe_file(kind=kind), ["data.margin=gap", "train.epochs=3"])
    run = _prepared(recipe)
    told = worker.run(recipe, run)

    assert told["held_out"]["accuracy"] > 0.9
    assert told == json.loads(run.report.read_text())
    evaluations = [line for line in capsys.readouterr().out.splitlines() if '"kind": "eval"' in line]
    before = json.loads(evaluations[0].partition(" ")[2])
    assert before["step"] == 0 and 0.2 < before["values"]["eval_accuracy"] < 0.8

    model = AutoModelForCausalRM.from_pretrained(run.model, dtype=torch.float32)
    names = {"qwen2": "Qwen2ForCausalRM", "llama": "LlamaForCausalRM"}
    config = json.loads((run.model / "config.json").read_text())
    assert (config["architectures"], config["summary_dropout_prob"]) == ([names[kind]], 0.1)
    # Through the model as it was saved, the scorer gives the pairs the very margins that the training reported.
    held = [pair for _, pair in data.rows(recipe.data) if pair.digest in _held_out(recipe)]
    scorer = RewardScorer(run.model)
    sides = ([(pair.question, getattr(pair, side)) for pair in held] for side in ("chosen", "rejected"))
    chosen, rejected = (scorer.score(side) for side in sides)
    margins = [one - other for one, other in zip(chosen, rejected, strict=True)]
    assert sum(margins) / len(margins) == pytest.approx(told["held_out"]["mean_margin"], abs=1e-4)
    tokens = torch.tensor([_ids(run, "Question 1?", RIGHT)])
    values = model(input_ids=tokens, attention_mask=torch.ones_like(tokens))[2]
    assert values[0, -1].item() == pytest.approx(scorer.score([("Question 1?", RIGHT)])[0], abs=1e-4)


def test_the_loss_is_bradley_terrys_with_margins(recipe_file: Callable[..., Path]) -> None:
    """Against a computation by hand: each side alone, without padding, from the base model and its new head."""
    from acecoder_rl.reward_model.training.trainer import Collator, PairTrainer

    recipe = load(recipe_file(), ["data.margin=gap"])
    run = _prepared(recipe)
    import datasets

    rows = datasets.Dataset.from_file(str(run.train_pairs))
    model = worker._model(recipe, recipe.model.path).eval()  # no dropout
    trainer = PairTrainer(
        model=model,
        args=worker._arguments(recipe, run, held_out=False, resumed=False),
        train_dataset=rows,
        processing_class=_tokenizer(recipe),
    )
    batch = [rows[number] for number in range(5)]
    assert len({len(row["chosen_ids"]) for row in batch} | {len(row["rejected_ids"]) for row in batch}) > 1
    loss = trainer.compute_loss(model, Collator(pad_token_id=0)(batch))

    expected = []
    for row in batch:
        scores = []
        for side in ("chosen_ids", "rejected_ids"):
            hidden = model.base_model(input_ids=torch.tensor([row[side]])).last_hidden_state[0, -1]
            scores.append(hidden @ model.v_head.summary.weight[0] + model.v_head.summary.bias[0])
        assert row["margin"] == pytest.approx(3 * row["gap"]) and row["margin"] > 1
        expected.append(-torch.log(torch.sigmoid(scores[0] - scores[1] - row["margin"])))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-5)


def test_a_killed_run_goes_on_to_the_same_end(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    file = recipe_file()
    changes = ["train.save_steps=5", "train.epochs=10"]  # long enough to be stopped in the midst of it
    whole = load(file, changes)
    run = _prepared(whole)
    worker.run(whole, run)

    # The same again, but stopped once step 7 is told, so that step 5 is saved.
    killed = RmFolder(tmp_path / "killed")
    stopper = threading.Thread(target=_stop_after, args=(killed, 7), daemon=True)
    stopper.start()
    with pytest.raises(Stopped, match=r"--resume goes on from"):
        train(str(file), [*changes, f"logging.folder={killed.path}"])
    assert killed.last_checkpoint() in range(5, 130, 5) and not killed.model.exists()

    with pytest.raises(RecipeError, match=r"holds a run: --resume it"):
        train(str(killed.recipe))
    with pytest.raises(RecipeError, match=r"train.learning_rate is 0.5, but the run began with 0.003"):
        train(str(killed.recipe), ["train.learning_rate=0.5"], resume=True)
    train(str(killed.recipe), resume=True)

    losses = {report.step: report.values["rm/loss"] for report in read(killed.metrics) if report.kind == "train"}
    assert list(losses) == list(range(1, 131))
    ends = [AutoModelForCausalRM.from_pretrained(folder.model, dtype=torch.float32) for folder in (run, killed)]
    for (name, one), other_one in zip(ends[0].named_parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other_one, msg=name)  # bitwise, but for the order of sums
    assert killed.page.exists()
    with pytest.raises(RecipeError, match=r"nothing is left to train"):
        train(str(killed.recipe), resume=True)


def test_a_reward_model_is_trained_further(recipe_file: Callable[..., Path], tiny_rm: Path, tmp_path: Path) -> None:
    recipe = load(recipe_file(), [f"model.path={tiny_rm}", "train.learning_rate=1e-9"])
    run = _prepared(recipe)
    worker.run(recipe, run)
    before, after = (RewardScorer(folder).score([("What?", RIGHT)])[0] for folder in (tiny_rm, run.model))
    assert after == pytest.approx(before, abs=1e-3)


def test_a_failure_leaves_its_cause_for_whoever_watches(recipe_file: Callable[..., Path]) -> None:
    run = _prepared(load(recipe_file(), ["model.attention=none_such"]))
    with pytest.raises(SystemExit):
        worker.main(str(run.path))
    assert "none_such" in json.loads(run.failure.read_text())["message"]


def _stop_after(run: RmFolder, step: int) -> None:
    """What Ctrl-C or a scheduler does, once a step was reported."""
    while not any(report.step >= step for report in read(run.metrics)):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)


def _held_out(recipe: RmRecipe) -> set[bytes]:
    digests = [pair.digest for _, pair in data.rows(recipe.data)]
    return data.held_out(digests, recipe.data.val_share, recipe.train.seed)


def _ids(run: RmFolder, question: str, answer: str) -> list[int]:
    from transformers import AutoTokenizer

    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return AutoTokenizer.from_pretrained(run.model).apply_chat_template(chat, return_dict=False)


def _tokenizer(recipe: RmRecipe) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(recipe.model.path)
