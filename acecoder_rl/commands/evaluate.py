"""`acecoder-rl evaluate`: arguments and progress; the work is in acecoder_rl/evaluation/evaluate.py."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from acecoder_rl.commands.best_of_n import progress
from acecoder_rl.commands.told import FAILED, console, errors_told, fail

EPILOG = """[bold]Examples[/bold]

acecoder-rl evaluate humaneval mbpp --model Qwen/Qwen2.5-Coder-7B-Instruct --data mbpp=mbpp.jsonl

acecoder-rl evaluate humaneval humaneval+ --model before=Qwen/Qwen2.5-Coder-7B --model after=runs/rule/model --base

acecoder-rl evaluate humaneval --model runs/rule/model --n 16 --temperature 0.8

acecoder-rl evaluate livecodebench --from 2024-08-01 --endpoint http://127.0.0.1:8000/v1 --endpoint-model my-model

acecoder-rl evaluate humaneval --completions mine=samples.jsonl

Benchmarks: humaneval, humaneval+, mbpp, mbpp+, livecodebench, bigcodebench-complete, bigcodebench-complete-hard,
bigcodebench-instruct, bigcodebench-instruct-hard."""

_ASK, _DATA, _RUN = "Asking", "Data", "Programs"
GOES_ON = "what is done is kept: --resume goes on"


def evaluate(
    benchmarks: Annotated[list[str], typer.Argument(metavar="BENCHMARK...", help="See below.", show_default=False)],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="[NAME=]PATH", help="A model's folder or Hub id, run by vLLM; repeatable."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="An OpenAI-compatible endpoint, up to /v1.")
    ] = None,
    completions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="Answers that are there already: JSONL or Parquet with task_id and completion; repeatable.",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="For all work; its table has all models in it.")] = Path(
        "runs/evaluate"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed run stopped; nothing is lost or repeated.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Drop earlier verdicts of these; answers are kept.")
    ] = False,
    samples: Annotated[int, typer.Option("--n", min=1, help="Answers a problem.", rich_help_panel=_ASK)] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.", rich_help_panel=_ASK)] = 0.0,
    top_p: Annotated[float, typer.Option(help="Of the sampling.", rich_help_panel=_ASK)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.", rich_help_panel=_ASK)] = 2048,
    base: Annotated[
        bool, typer.Option("--base", help="Base models: they go on from the code.", rich_help_panel=_ASK)
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the sampling.", rich_help_panel=_ASK)] = 0,
    device: Annotated[str, typer.Option(help="Of the engine: gpu or cpu.", rich_help_panel=_ASK)] = "gpu",
    tensor_parallel: Annotated[int, typer.Option(min=1, help="GPUs of the engine.", rich_help_panel=_ASK)] = 1,
    max_model_len: Annotated[
        int | None, typer.Option(min=1, help="Tokens of prompt and answer (else the model's).", rich_help_panel=_ASK)
    ] = None,
    endpoint_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's name at the endpoint.", rich_help_panel=_ASK)
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="The environment variable with the endpoint's key.", rich_help_panel=_ASK),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests at once to the endpoint.", rich_help_panel=_ASK)
    ] = 32,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="BENCHMARK=FILE", help="Its data, else looked for; repeatable.", rich_help_panel=_DATA),
    ] = None,
    release: Annotated[str, typer.Option(help="Of LiveCodeBench.", rich_help_panel=_DATA)] = "release_v4",
    first: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="LiveCodeBench's contests.", rich_help_panel=_DATA)
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The last day of it.", rich_help_panel=_DATA)
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="The Python whose packages programs have (BigCodeBench).", rich_help_panel=_RUN
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs at once (else the cores we may use).", rich_help_panel=_RUN)
    ] = None,
    require: Annotated[
        str,
        typer.Option(metavar="LEVEL", help="The least isolation: namespaces, landlock or none.", rich_help_panel=_RUN),
    ] = "namespaces",
) -> None:
    """Evaluate models on code benchmarks: pass@k with intervals, and the paper's table.

    The folder gets table.md, table.json and table.html, and for each model and benchmark results.jsonl (a row an
    answer: passed, status, message, program) and report.json.
    """
    from acecoder_rl.evaluation import evaluate_table
    from acecoder_rl.evaluation.benchmarks.load import DataOptions
    from acecoder_rl.evaluation.evaluate import Evaluate
    from acecoder_rl.evaluation.evaluate import evaluate as run
    from acecoder_rl.evaluation.evaluate_answers import AnswersFailed, How, Source
    from acecoder_rl.records import InputError
    from acecoder_rl.synthesis.models import AskStopped, Endpoint, Engine

    with errors_told(hint=GOES_ON):
        if endpoint is not None and not endpoint_model:
            raise InputError("--endpoint needs --endpoint-model NAME, as the endpoint calls it")
        if device not in ("gpu", "cpu"):
            raise InputError(f"--device is {device!r}: give gpu or cpu")
        sources = []
        for name, path in map(_named, models or []):
            engine = Engine(
                path=path, device=device, tensor_parallel_size=tensor_parallel, max_model_len=max_model_len,
                chat=not base,
            )  # fmt: skip
            sources.append(Source(name, engine))
        if endpoint is not None and endpoint_model:
            try:
                asked = Endpoint(
                    endpoint=endpoint, model=endpoint_model, api_key_env=api_key_env, concurrency=concurrency
                )
            except ValueError:
                mend = "give its address up to the version, such as http://127.0.0.1:8000/v1"
                raise InputError(f"--endpoint is {endpoint!r}: {mend}") from None
            sources.append(Source(endpoint_model, asked))
        sources += [Source(name, Path(path)) for name, path in map(_named, completions or [])]
        files: dict[str, list[Path]] = {}
        for each in data or []:
            name, equals, path = each.partition("=")
            if not equals or not path:
                raise InputError(f"--data is {each!r}: give BENCHMARK=FILE")
            files.setdefault(name, []).append(Path(path))
        options = Evaluate(
            benchmarks, sources, folder,
            DataOptions(files, release, _date("--from", first), _date("--to", last), python),
            How(samples, temperature, top_p, max_new_tokens, base, seed), require, workers, resume, overwrite,
        )  # fmt: skip
        try:
            with progress() as on_done:
                reports = run(options, on_done)
        except (AskStopped, AnswersFailed) as error:
            fail(f"{error} ({GOES_ON})", FAILED)
        found = evaluate_table.table(evaluate_table.collect(folder, [source.name for source in sources]))
        evaluate_table.write(found, folder)
        for report in reports:
            print(f"{report['model']}, {report['benchmark']}, {report['problems']} problems")
            print("".join(f"  {line}\n" for line in evaluate_table.pass_at_lines(report)))
        print(evaluate_table.markdown(found), end="")
        console().print(f"folder   {folder}", markup=False, highlight=False)


def _named(value: str) -> tuple[str, str]:
    name, equals, path = value.partition("=")
    if not (equals and name and path) or Path(value).exists():  # there are paths with "=" in them
        return value, value
    return name, path


def _date(option: str, value: str | None) -> date | None:
    from acecoder_rl.records import InputError

    try:
        return None if value is None else date.fromisoformat(value)
    except ValueError:
        raise InputError(f"{option} is {value!r}: give a day such as 2024-08-01") from None
