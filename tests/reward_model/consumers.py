"""A process of its own that scores token sequences with a converted model: consumers.py vllm|openrlhf FOLDER.

Reads the sequences from stdin as JSON; of what it prints, the line that begins with "scores" counts: engines print too.
"""

import json
import os
import sys


def by_vllm(folder, rows):
    """Offline, as `vllm serve --runner pooling` does for /classify; with no argument about the activation."""
    from vllm import LLM

    llm = LLM(folder, runner="pooling", dtype="float32", enforce_eager=True, max_model_len=512, max_num_seqs=8)
    return [output.outputs.probs[0] for output in llm.classify([{"prompt_token_ids": row} for row in rows])]


def by_openrlhf(folder, rows):
    """As its trainers load a reward model, padded on the left; in fp32, which it does not offer."""
    from acecoder_rl.training.cpu.patches import names_of_flash_attn

    names_of_flash_attn()
    import torch
    from openrlhf.models.model import get_llm_for_sequence_regression
    from openrlhf.utils import utils

    utils.convert_to_torch_dtype = lambda name: torch.float32
    model = get_llm_for_sequence_regression(folder, "reward", attn_implementation="eager").eval()
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    with torch.no_grad():
        return model(ids, mask).tolist()


if __name__ == "__main__":
    os.environ |= {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # an engine within this process: its imports are most of the time
        "TORCHDYNAMO_DISABLE": "1",
        "DS_ACCELERATOR": "cpu",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    scorer = {"vllm": by_vllm, "openrlhf": by_openrlhf}[sys.argv[1]]
    print("scores", json.dumps(scorer(sys.argv[2], json.load(sys.stdin))), flush=True)
