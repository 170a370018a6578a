"""In place of `acecoder-rl train`, where PYTHONPATH has this folder: a Ray program that takes seconds.

It joins the job's Ray, has a process on every node, and "trains": a step is a file in the run's folder, as the real one
leaves it, until all are done or the folder has a file "enough".
"""

from __future__ import annotations

import os
import signal
import sys
import time


def train() -> None:
    """The steps."""
    import ray

    from acecoder_rl.sandbox.cluster import ClusterSandbox
    from acecoder_rl.training import metrics
    from acecoder_rl.training.load import load_recipe
    from acecoder_rl.training.run_folder import RunFolder

    words = sys.orig_argv
    sets = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    recipe = load_recipe(words[words.index("train") + 1], sets)
    run = RunFolder(recipe.logging.folder)
    first = (run.last_checkpoint() or 0) if "--resume" in words else 0
    if first:
        run.go_back_to(first)
        metrics.forget_after(run.metrics, first)
    ray.init(address=os.environ["RAY_ADDRESS"])

    def stop(number: int, frame: object) -> None:
        os.write(1, b"quick: stopped in order\n")
        os._exit(143)

    signal.signal(signal.SIGTERM, stop)

    class Holder:
        def where(self) -> str:
            return ray.get_runtime_context().get_node_id()

    holders = [
        ray.remote(num_gpus=1, scheduling_strategy="SPREAD")(Holder).remote() for _ in range(recipe.resources.nodes)
    ]
    nodes = {ray.get(holder.where.remote()) for holder in holders}
    sandbox = ClusterSandbox()
    assert sandbox.run("def one(): return 1", ["assert one() == 1"]).passed
    (run.path / "run.json").write_text("[]")
    session = ray._private.worker._global_node.get_temp_dir_path()
    print(f"quick: from step {first} on {len(nodes)} nodes, session {session}", flush=True)
    print(f"quick: sandboxes of {sandbox.workers} workers", flush=True)
    for step in range(first + 1, recipe.train.episodes + 1):
        time.sleep(1)
        if (run.path / "enough").exists():
            break
        metrics.append(run.metrics, metrics.Report("train", step, {}))
        if recipe.train.save_steps:
            saved = run.checkpoints / "_actor" / f"global_step{step}"
            saved.mkdir(parents=True)
            (saved / "weights.pt").touch()
            (saved.parent / "latest").write_text(saved.name)
        print(f"quick: step {step}", flush=True)
    os._exit(0)  # nothing of Python's may come after this


if "acecoder_rl.cli" in sys.orig_argv:
    train()
