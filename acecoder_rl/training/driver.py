"""The process that holds a run: it starts Ray and the sandboxes, and runs OpenRLHF's own trainer to its end.

Covers: `python -m acecoder_rl.training.driver PLAN.json`: what the workers' environment says, CPU mode, the true
    cause when a worker fails (failure.json beside the plan).
Does not cover: watching it and what is left when it is killed (launch.py), OpenRLHF's arguments (flags.py).
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.rollouts import log
from acecoder_rl.training.allocation import Needs, lacking, of_ray
from acecoder_rl.training.errors import RunFailed
from acecoder_rl.training.reward_model import serving

FAILURE = "failure.json"
REWARD = "ACECODER_RL_REWARD"  # read by reward_fns/openrlhf.py
TRAINER = "openrlhf.cli.train_ppo_ray"
# Read by Ray when it is imported; what the user has set stands.
RAY = {
    "RAY_DEDUP_LOGS": "0",  # every line of every worker, as it came
    # Ray's 15 is to keep its own daemons quick; here it would let any other process starve the training.
    "RAY_worker_niceness": "0",
    # Started by a Ray job that has our variables already, we set them again.
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
}


@dataclass(frozen=True)
class Plan:
    """What a driver is to do, as it stands in plan.json.

    Attributes:
        arguments: OpenRLHF's.
        reward, sandbox: the recipe's sections.
        assistant_prefix: how completions begin, which the reward must know.
        device: "cpu" or "gpu".
        threads: of a model or engine on CPU; of an offloaded optimizer on GPU.
        parts: who takes how many GPUs of Ray; on CPU they are logical, and Ray is told that it has them.
        reward_model: that the run serves itself (reward_model.py `to_serve`).
        address: of a running Ray cluster; None starts Ray here.
        rollouts: the folder of the rollout log; None = none is kept.
        rollouts_mb: that it may take.
    """

    arguments: list[str]
    reward: dict[str, Any]
    sandbox: dict[str, Any]
    assistant_prefix: str
    device: str
    threads: int
    parts: dict[str, int]
    reward_model: dict[str, Any] | None = None
    address: str | None = None
    rollouts: str | None = None
    rollouts_mb: int = log.DEFAULT_MB

    @property
    def gpus(self) -> int:
        """That the run asks of Ray."""
        return sum(self.parts.values())

    def write(self, path: Path) -> None:
        """Save it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def environment(self) -> dict[str, str]:
        """What every process of the run has in its environment."""
        sections = {"reward": self.reward, "sandbox": self.sandbox, "assistant_prefix": self.assistant_prefix}
        shared = {
            # Ray's workers expand $NAME in what they are given; within JSON a dollar has another spelling.
            REWARD: json.dumps(sections).replace("$", "\\u0024"),
            # As OpenRLHF sets them when it starts Ray itself.
            "TOKENIZERS_PARALLELISM": os.environ.get("TOKENIZERS_PARALLELISM", "true"),
            "NCCL_DEBUG": os.environ.get("NCCL_DEBUG", "WARN"),
            "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": os.environ.get("RAY_ENABLE_ZERO_COPY_TORCH_TENSORS", "1"),
        }
        if self.rollouts is not None:
            shared |= {log.FOLDER: self.rollouts, log.MEGABYTES: str(self.rollouts_mb)}
        if self.device == "cpu":
            from acecoder_rl.training import cpu

            shared |= cpu.environment(self.threads)
        elif "--ds.adam_offload" in self.arguments:
            # Ray would give each process the one thread of its one CPU, and billions of parameters are updated there.
            share = max(1, self.threads // self.gpus)
            shared["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(share))
        return shared


def drive(plan: Plan) -> None:
    """Run the trainer; returns when the model is saved."""
    environment = plan.environment()
    os.environ.update(environment)
    os.environ.update({name: value for name, value in RAY.items() if name not in os.environ})
    if plan.device == "cpu":
        from acecoder_rl.training import cpu

        # The GPUs are logical: Ray would hold their number against the real ones that a user has hidden or chosen.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        cpu.use()
    import ray

    ray.init(**_ray_options(plan, environment))
    try:
        _check_room(plan, ray.nodes())
        sandboxes = _sandboxes(plan.sandbox)
        # Before the trainer, which takes all GPUs that it finds free.
        with serving(plan.reward_model):
            sys.argv = [TRAINER, *plan.arguments]
            runpy.run_module(TRAINER, run_name="__main__", alter_sys=True)
        sandboxes.close()
    finally:
        ray.shutdown()


def _ray_options(plan: Plan, environment: dict[str, str]) -> dict[str, Any]:
    runtime: dict[str, Any] = {"env_vars": environment}
    if plan.device == "cpu":
        runtime["worker_process_setup_hook"] = "acecoder_rl.training.cpu.worker_hook"
    # "local", not None, which would join any cluster that somebody started on this machine.
    options: dict[str, Any] = {"address": plan.address or "local", "runtime_env": runtime}
    if plan.address is None:
        options["include_dashboard"] = False
        if plan.device == "cpu":
            # OpenRLHF asks one CPU and one GPU an actor; both are counted only, never bound.
            options |= {"num_gpus": plan.gpus, "num_cpus": 2 * plan.gpus + 4}
            options["object_store_memory"] = 512 * 2**20
    return options


def _check_room(plan: Plan, nodes: list[dict[str, Any]]) -> None:
    """OpenRLHF waits for its places without an end: too few GPUs, or CPUs beside them, would look like loading.

    Raises:
        RunFailed: Ray has not what the run asks for.
    """
    whole = plan.reward_model["gpus_per_replica"] if plan.reward_model else 1
    if told := lacking(Needs(plan.parts, whole), of_ray(nodes)):
        raise RunFailed(told)


def _sandboxes(section: dict[str, Any]) -> Any:
    """One sandbox on each node, found by the engines there; SandboxError when a node cannot isolate as required."""
    from acecoder_rl.sandbox.cluster import ClusterSandbox

    # By name: trainers import reward_fns, we do not depend on it.
    asked = importlib.import_module("reward_fns.config").sandbox_settings(section).asked()
    asked.pop("dedupe", None)
    if "workers" in asked:
        asked["workers_per_node"] = asked.pop("workers")
    return ClusterSandbox(**asked)


def innermost(error: BaseException) -> BaseException:
    """What really happened: Ray wraps a worker's error once for every actor that it came through.

    What was raised `from` another error that is not Ray's stays: its message is the one that tells the mend.
    """
    chain = [error]
    while isinstance(cause := _cause(chain[-1]), BaseException) and cause not in chain:
        chain.append(cause)
    behind = [number + 1 for number, each in enumerate(chain) if _of_ray(each)]
    return chain[min(max(behind, default=0), len(chain) - 1)]


def _cause(error: BaseException) -> BaseException | None:
    return (getattr(error, "cause", None) if _of_ray(error) else None) or error.__cause__


def _of_ray(error: BaseException) -> bool:
    return any(each.__module__ == "ray.exceptions" for each in type(error).__mro__)


def main() -> None:
    """The entry point."""
    path = Path(sys.argv[1])
    plan = Plan(**json.loads(path.read_text()))

    def stop(number: int, frame: object) -> None:
        # Once: launcher and Ray may both ask, and a second exit would break the first one's clean-up.
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    try:
        drive(plan)
    except Exception as error:
        cause = innermost(error)
        told = {
            "type": type(cause).__name__,
            "message": str(cause),
            "traceback": "".join(traceback.format_exception(error)),
        }
        (path.parent / FAILURE).write_text(json.dumps(told, indent=1) + "\n")
        raise


if __name__ == "__main__":
    main()
