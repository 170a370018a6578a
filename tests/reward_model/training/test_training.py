"""Real trainings of tiny models: they learn, go on after a kill as if nothing had happened, and save what they are."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
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
from acecoder_rl.training.load import resolved_yaml
from acecoder_rl.training.metrics import read
from acecoder_rl.training.recipe import RecipeError

REPOSITORY = Path(__file__).parents[3]
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
    assert json.loads((run.model / "config.json").read_text())["architectures"] == [names[kind]]
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
    whole = load(file, ["train.save_steps=5"])
    run = _prepared(whole)
    worker.run(whole, run)

    # The same again, in a process that is killed once step 7 is told: step 5 is saved, 6 and 7 are lost.
    other = tmp_path / "killed"
    command = [sys.executable, "-m", "acecoder_rl.cli", "train-rm", str(file)]
    changed = ["--set", "train.save_steps=5", "--set", f"logging.folder={other}"]
    process = subprocess.Popen([*command, *changed], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 7/"):
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stderr.read()
    assert process.wait() == 128 + signal.SIGTERM, rest
    killed = RmFolder(other)
    assert killed.last_checkpoint() == 5 and not killed.model.exists()
    assert "--resume goes on from step 5" in rest

    from acecoder_rl.reward_model.training.train import train

    with pytest.raises(RecipeError, match=r"holds a run: --resume it"):
        train(str(killed.recipe))
    with pytest.raises(RecipeError, match=r"train.learning_rate is 0.5, but the run began with 0.003"):
        train(str(killed.recipe), ["train.learning_rate=0.5"], resume=True)
    train(str(killed.recipe), resume=True)

    losses = {report.step: report.values["rm/loss"] for report in read(killed.metrics) if report.kind == "train"}
    assert list(losses) == list(range(1, 14))
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


def test_a_failure_is_told_with_its_cause(recipe_file: Callable[..., Path], cli: Any) -> None:
    ended = cli("train-rm", recipe_file(), "--set", "train.learning_rate=1", "--set", "train.max_norm=0",
                "--set", "model.attention=none_such")  # fmt: skip
    assert ended.returncode == 1
    assert "none_such" in ended.stderr and "the whole log: " in ended.stderr and "Traceback" not in ended.stderr


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
