"""The folder of a reward model's run: what stands where, and which checkpoint it can go on from.

Covers: the paths beside those of every run (training/run_folder.py), transformers' checkpoints.
Does not cover: what is in them (transformers and DeepSpeed write them).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from acecoder_rl.training.run_folder import RunFolder

# Fields, or the beginnings of such, that a run may go on with changed.
FREE = (
    "train.log_steps",
    "train.eval_steps",
    "train.save_steps",
    "train.keep_checkpoints",
    "resources.gradient_checkpointing",
    "resources.threads",
    "logging.",
)


class RmFolder(RunFolder):
    """The paths of a run.

    Args:
        path: the recipe's `logging.folder`.
        node: of a run on several; each but the first has a log of its own.
    """

    def __init__(self, path: str | Path, node: int = 0) -> None:
        super().__init__(path)
        self.node = node
        if node:
            self.log = self.path / f"train.node{node}.log"
        self.deepspeed = self.path / "deepspeed.json"
        self.report = self.path / "report.json"
        self.train_pairs = self.data / "train.arrow"
        self.val_pairs = self.data / "val.arrow"

    def last_checkpoint(self) -> int | None:
        """The newest step that is saved whole: transformers writes trainer_state.json last."""
        return max(
            (step for step, path in self._saved().items() if (path / "trainer_state.json").exists()), default=None
        )

    def checkpoint(self, step: int) -> Path:
        """Where a step is saved."""
        return self.checkpoints / f"checkpoint-{step}"

    def go_back_to(self, step: int) -> None:
        """Delete what is later than a step, or half-written."""
        for number, path in self._saved().items():
            if number > step or not (path / "trainer_state.json").exists():
                shutil.rmtree(path)

    def _saved(self) -> dict[int, Path]:
        found = {path: re.fullmatch(r"checkpoint-(\d+)", path.name) for path in self.checkpoints.glob("checkpoint-*")}
        return {int(match[1]): path for path, match in found.items() if match}
