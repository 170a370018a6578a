"""The process of a vLLM engine: settings and chunks of requests on stdin, answers on a pipe (engine.py).

Covers: the chat template, the answer's first words, structured output, prompts that are too long.
Does not cover: prompts that are not text.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import IO, Any

from acecoder_rl.evaluation.sampling import end_with, engine_options
from acecoder_rl.queries import turn_ends


def main(pipe: int) -> None:
    """Serve until stdin ends."""
    settings = json.loads(sys.stdin.readline())
    import vllm

    names = ("tensor_parallel_size", "gpu_memory_utilization", "max_model_len")
    given = {name: settings[name] for name in names if settings[name] is not None}
    options = engine_options(settings["device"]) | given | settings["engine"]
    engine = vllm.LLM(settings["path"], seed=settings["seed"], **options)
    with os.fdopen(pipe, "w", encoding="utf-8") as answers:
        chunk: list[dict[str, Any]] = []
        for line in sys.stdin:
            request = json.loads(line)
            if request is not None:
                chunk.append(request)
                continue
            _serve(engine, settings, chunk, answers)
            chunk = []


def _serve(engine: Any, settings: dict[str, Any], chunk: list[dict[str, Any]], answers: IO[str]) -> None:
    tokenizer, inner = engine.get_tokenizer(), engine.llm_engine
    room, ends = inner.model_config.max_model_len, turn_ends(tokenizer)

    def tell(number: int, **told: Any) -> None:
        answers.write(json.dumps({"job": number, "failed": "", **told}) + "\n")
        answers.flush()

    for request in chunk:
        tokens = _prompt(tokenizer, request, settings["chat"])
        if len(tokens) >= room:
            tell(request["job"], failed=f"the prompt has {len(tokens)} tokens, and the engine holds {room}")
            continue
        how = _how(request, settings, room - len(tokens), ends)
        inner.add_request(str(request["job"]), {"prompt_token_ids": tokens}, how)
    asked = {str(request["job"]): request for request in chunk}
    while inner.has_unfinished_requests():
        # Not `generate`, which gives nothing before it has everything.
        for output in inner.step():
            if output.finished:
                request = asked[output.request_id]
                said = [
                    [
                        # Not `text`: it lacks the stop token, here the fence that closes the program.
                        request["prefix"] + tokenizer.decode(each.token_ids, skip_special_tokens=True),
                        each.finish_reason or "stop",
                        len(each.token_ids),
                    ]
                    for each in sorted(output.outputs, key=lambda each: each.index)
                ]
                if not request["temperature"]:
                    said *= request["n"]  # greedy: all the same
                tell(request["job"], answers=said, tokens_in=len(output.prompt_token_ids))


def _prompt(tokenizer: Any, request: dict[str, Any], chat: bool) -> list[int]:
    if chat:
        text = tokenizer.apply_chat_template(request["messages"], tokenize=False, add_generation_prompt=True)
    else:
        text = "\n\n".join(message["content"] for message in request["messages"]) + "\n"
    text = (text + request["prefix"]).encode(errors="replace").decode()
    # A template has the special tokens already.
    return tokenizer(text, add_special_tokens=not chat)["input_ids"]


def _how(request: dict[str, Any], settings: dict[str, Any], room: int, ends: list[int]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    structured = None
    if request["schema"] is not None and settings["structured"] == "json_schema":
        structured = StructuredOutputsParams(json=request["schema"])
    elif request["schema"] is not None and settings["structured"] == "json_object":
        structured = StructuredOutputsParams(json_object=True)
    return SamplingParams(
        n=request["n"] if request["temperature"] else 1,
        temperature=request["temperature"],
        top_p=request["top_p"],
        max_tokens=min(request["max_tokens"], room),
        # With seeds of samples vLLM on CPU fails when a prompt is read in two parts: there it is the engine's alone.
        seed=request["seed"] if settings["device"] != "cpu" else None,
        structured_outputs=structured,
        stop=request["stop"] or None,
        stop_token_ids=ends,
        # Else the last of a request's answers comes alone, when all of them are finished.
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    main(int(sys.argv[1]))
