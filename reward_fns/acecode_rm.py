"""`AceCodeRM`: a reward model's score, as a part of `Mixed`.

Covers: what text of a completion is scored, in either prompt format.
Does not cover: connections and retries (acecoder_rl/reward_model/client.py), normalising (mixed.py).
What it promises: the server's score, or RewardModelError; never 0 for a failure.
"""

from __future__ import annotations

from dataclasses import dataclass

from acecoder_rl.completions import Program
from acecoder_rl.problems import Problem
from acecoder_rl.reward_model.client import RewardClient, RewardModelError, first_test


@dataclass(frozen=True)
class AceCodeRM(RewardClient):
    """A served reward model as a component: `{kind: acecode_rm, endpoint: "http://host:port", ...}`.

    With format "raw" the completion is scored as the model wrote it; with "acecode" the program in it, in the
    wrapper of the reward model's training data. What an empty or over-long text scores is the server's word.
    Arguments: those of RewardClient.
    """

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        """The raw score of one completion.

        Raises:
            RewardModelError: there is none to be had, or the problem has no question, which would be scored as another.
        """
        if not problem.question:
            raise RewardModelError(
                f"problem {problem.id} has tests only, and a reward model reads the question: "
                "make labels of problems that have one, with Problem.to_label()"
            )
        if self.format == "acecode" and program.code:
            completion = f"```python\n{program.code}\n```"
        elif self.format == "acecode":
            completion = ""
        (value,) = await self.scores([(problem.question, completion, first_test(problem))])
        return value
