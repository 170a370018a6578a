"""`acecoder-rl convert-rm`: arguments and what is told; the work is in acecoder_rl/reward_model/."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acecoder_rl.commands.told import BAD_INPUT, FAILED, console, errors_told, fail

if TYPE_CHECKING:
    from acecoder_rl.reward_model.calibration import Calibration
    from acecoder_rl.reward_model.convert import Conversion

EPILOG = """[bold]Examples[/bold]

acecoder-rl convert-rm TIGER-Lab/AceCodeRM-7B AceCodeRM-7B-seqcls

acecoder-rl convert-rm runs/rm/model rm-seqcls --calibrate pairs.jsonl

acecoder-rl convert-rm runs/rm/model --calibrate answers.jsonl --format acecode

acecoder-rl convert-rm rm-seqcls rm-again --to causal-rm --base Qwen2.5-Coder-7B-Instruct"""


class To(StrEnum):
    seqcls = "seqcls"
    causal_rm = "causal-rm"


class Verify(StrEnum):
    auto = "auto"
    scores = "scores"
    tensors = "tensors"
    none = "none"


class Format(StrEnum):
    raw = "raw"
    acecode = "acecode"


def convert_rm(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A reward model: a folder, or an id on the Hub. AceCodeRM's or LLaMA-Factory's value head, or a "
            "sequence classifier (ours, TRL's, OpenRLHF's).",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="TARGET", help="The new folder. Without it SOURCE is only calibrated."),
    ] = None,
    to: Annotated[
        To | None,
        typer.Option(
            help="seqcls: a sequence classifier, for vLLM, Transformers, TRL and OpenRLHF; causal-rm: AceCodeRM's "
            "layout. By default the one that SOURCE is not.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="To causal-rm: the causal LM to take the LM head from; scores need none."),
    ] = None,
    verify: Annotated[
        Verify,
        typer.Option(
            help="scores: score a few texts with both forms; tensors: compare all bytes; auto: scores if the model "
            "fits into memory in fp32, else tensors."
        ),
    ] = Verify.auto,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="The same as --verify none.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model in TARGET.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="Of a model on the Hub.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="FILE",
            help="Score these answers (question, completion) or pairs (instruction, chosen, rejected), JSONL or "
            "Parquet, and keep mean and standard deviation beside the model.",
        ),
    ] = None,
    prompt_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="The prompt format of --calibrate. By default raw; AceCodePair's rows are acecode already.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convert a reward model between AceCodeRM's layout and a sequence classifier, or calibrate it.

    Tensors are copied byte for byte in a few MB of memory. TARGET is whole and verified, or it is not there.
    """
    if target is None and data is None:
        fail("give TARGET to convert, --calibrate FILE to calibrate, or both", BAD_INPUT)
    if data is None and prompt_format is not None:
        fail("--format is the prompt format of --calibrate: give --calibrate FILE, or leave it out", BAD_INPUT)
    show = console()
    with errors_told(), _told():
        from acecoder_rl.reward_model.calibration import calibrate
        from acecoder_rl.reward_model.calibration_rows import read_rows

        wanted = None if prompt_format is None else prompt_format.value
        if data is not None:
            read_rows(data, wanted)  # before the long work
        if target is not None:
            from acecoder_rl.reward_model.convert import convert

            done = convert(
                source, target, to=None if to is None else to.value, base=base,
                verify="none" if no_verify else verify.value, overwrite=overwrite, revision=revision,
                on_step=lambda step: show.print(f"{step} ...", style="dim", highlight=False),
            )  # fmt: skip
            show.print(_conversion(done), highlight=False, soft_wrap=True)
        if data is not None:
            where = target or Path(source)
            calibration = calibrate(where, data, format=wanted, progress=True)
            show.print(_calibration(where, calibration), highlight=False, soft_wrap=True)


@contextmanager
def _told() -> Iterator[None]:
    """The errors of reading, converting and scoring, each with its status."""
    try:
        from transformers.utils import logging

        from acecoder_rl.reward_model.calibration import CalibrationError
        from acecoder_rl.reward_model.checkpoint import HeadError
        from acecoder_rl.reward_model.scoring import ScoreError
        from acecoder_rl.reward_model.shards import ConvertError
    except ModuleNotFoundError as error:
        fail(f"reward models need {error.name}, which is not installed: make setup, or pip install '.[gpu]'", BAD_INPUT)
    # It reports score.bias as unexpected each time; what that means is said once, by us.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (ConvertError, HeadError, CalibrationError) as error:
        fail(str(error), BAD_INPUT)
    except ScoreError as error:
        fail(str(error), FAILED)


def _conversion(done: Conversion) -> str:
    from acecoder_rl.reward_model.convert import in_bytes

    lines = [
        f"converted    {done.source} -> {done.target} ({done.architecture}, {in_bytes(done.size)} in {done.files} "
        "file(s))",
        f"verified     {done.verified}",
    ]
    if done.dropped:
        lines.append(f"left out     {', '.join(done.dropped)}")
    return "\n".join(lines + [f"note         {note}" for note in done.notes])


def _calibration(folder: Path, calibration: Calibration) -> str:
    flags = ", ".join(f"{count} {name}" for name, count in calibration.flags.items())
    return (
        f"calibrated   mean {calibration.mean:.6g}, std {calibration.std:.6g} of {calibration.count} scores in format "
        f"{calibration.format!r}{f' ({flags})' if flags else ''} -> {folder / 'calibration.json'}"
    )
