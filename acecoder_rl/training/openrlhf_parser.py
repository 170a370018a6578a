"""Arguments as OpenRLHF's own parser and its own checks see them, without importing OpenRLHF.

Covers: the main block of the installed openrlhf/cli/train_ppo_ray.py, run up to its call `train(args)`: no
    torch, no vLLM, no GPU; what it refuses, what it warns of, what it changes silently.
Does not cover: what OpenRLHF finds out later, when it trains.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import copy
import difflib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, NoReturn

from acecoder_rl.training.errors import NotInstalled
from acecoder_rl.training.flags import FIELDS
from acecoder_rl.training.recipe import RecipeError

UNCHECKED = "not checked by OpenRLHF's own parser"


@dataclass(frozen=True)
class Rewrite:
    """An argument that OpenRLHF's main block changed.

    Attributes:
        flag: without dashes.
        before, after: None before means that it was filled in.
    """

    flag: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Checked:
    """What OpenRLHF makes of the arguments.

    Attributes:
        args: as `train(args)` gets them: `args.rollout.batch_size`.
        warnings: what it printed.
        rewrites: what it changed.
        version: of OpenRLHF.
    """

    args: SimpleNamespace
    warnings: tuple[str, ...]
    rewrites: tuple[Rewrite, ...]
    version: str


def check_arguments(arguments: list[str], where: str) -> Checked:
    """Let OpenRLHF check arguments.

    Args:
        where: the recipe's file, for messages.

    Raises:
        RecipeError: it refuses them; the message names the fields of the recipe behind it.
        NotInstalled: OpenRLHF is not there.
    """
    folder, version = _find()
    file = folder / "cli" / "train_ppo_ray.py"
    block = _main_block(file)
    printed: list[str] = []
    parser_class = _parser_class(arguments)
    names: dict[str, Any] = {
        "__name__": "__main__",
        "__builtins__": vars(builtins)
        | {
            "__import__": _importer(folder),
            "print": lambda *told, **_: printed.append(" ".join(map(str, told))),
        },
    }
    try:
        exec(_code(block.imports, file), names)
        names["argparse"] = SimpleNamespace(**{**vars(argparse), "ArgumentParser": parser_class})
        exec(_code(block.checks, file), names)
    except _Refused as refusal:
        raise RecipeError([f"{where}: {refusal}"]) from None
    except AssertionError as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno or 0
        values = _behind(block.checks, line, names["args"])
        raise RecipeError([f"{where}: OpenRLHF refuses this: {error}{values}"]) from None
    args, parsed = names["args"], parser_class.parsed
    return Checked(args, tuple(printed), tuple(_rewrites(parsed, args)), version)


@dataclass(frozen=True)
class _Block:
    imports: list[ast.stmt]
    checks: list[ast.stmt]


class _Refused(Exception):
    pass


def _find() -> tuple[Path, str]:
    spec = importlib.util.find_spec("openrlhf")
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalled(f"{UNCHECKED}: run `make setup`, or pip install --no-deps openrlhf==0.11.2")
    try:
        version = importlib.metadata.version("openrlhf")
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    return Path(next(iter(spec.submodule_search_locations))), version


def _main_block(file: Path) -> _Block:
    """What the file does as a program, before it trains."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    imports = [
        node
        for node in module.body
        if (isinstance(node, ast.Import) and all(_is_standard(alias.name) for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and _is_standard(node.module or ""))
    ]
    mains = [node for node in module.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
    body = mains[-1].body if mains else []
    ends = [index for index, node in enumerate(body) if ast.unparse(node) == "train(args)"]
    if not ends:
        raise NotInstalled(f"{UNCHECKED}: {file} has no `train(args)` in its main block")
    return _Block(imports, body[: ends[0]])


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _code(body: list[ast.stmt], file: Path) -> CodeType:
    return compile(ast.Module(body=body, type_ignores=[]), str(file), "exec")


def _parser_class(arguments: list[str]) -> Any:
    class Parser(argparse.ArgumentParser):
        parsed: argparse.Namespace

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Else a flag cut short would set another one behind its field's back.
            super().__init__(*args, **kwargs | {"allow_abbrev": False, "add_help": False})

        def parse_args(self, *_: Any, **__: Any) -> argparse.Namespace:  # type: ignore[override]
            namespace, unknown = self.parse_known_args(arguments)
            if unknown:
                raise _Refused(_unknown(unknown[0], arguments, list(self._option_string_actions)))
            type(self).parsed = copy.deepcopy(namespace)
            return namespace

        def error(self, message: str) -> NoReturn:
            flags = [word.strip(":,") for word in message.replace("/", " ").split() if word.startswith("--")]
            raise _Refused(f"{_field(flags[0][2:]) if flags else 'OpenRLHF'}: {message}")

    return Parser


def _unknown(text: str, arguments: list[str], known: list[str]) -> str:
    flag = text.partition("=")[0]
    if not flag.startswith("--"):
        last = max(index for index, argument in enumerate(arguments) if argument == text)
        owner = next(argument for argument in reversed(arguments[:last]) if argument.startswith("--"))
        return f"{_field(owner[2:])} does not take the further value {text!r}"
    near = difflib.get_close_matches(flag, known, 1)
    mend = f"did you mean {near[0][2:]}?" if near else "see python -m openrlhf.cli.train_ppo_ray --help"
    return f"openrlhf.{flag[2:]} is not known to OpenRLHF: {mend}"


def _importer(folder: Path) -> Callable[..., ModuleType]:
    """`__import__` that loads a file of OpenRLHF alone: its packages import torch."""

    def load(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        if name.partition(".")[0] != "openrlhf":
            return builtins.__import__(name, *args, **kwargs)
        file = folder.joinpath(*name.split(".")[1:]).with_suffix(".py")
        spec = importlib.util.spec_from_file_location(f"_acecoder_rl_{file.stem}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def _behind(body: list[ast.stmt], line: int, args: SimpleNamespace) -> str:
    """The values that the failed assertion at a line looks at, by the recipe's fields."""
    tests = [
        node.test
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    chains = {ast.unparse(node) for test in tests for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    values = []
    for chain in sorted(chains):
        value: Any = args
        for name in chain.split(".")[1:]:
            value = getattr(value, name, None)
        if not isinstance(value, SimpleNamespace) and chain.startswith("args."):
            values.append(f"{_field(chain.removeprefix('args.'))} is {value!r}")
    return f" ({', '.join(values)})" if values else ""


def _field(flag: str) -> str:
    return FIELDS.get(flag, f"openrlhf.{flag}")


def _rewrites(parsed: argparse.Namespace, args: SimpleNamespace) -> list[Rewrite]:
    found = []
    for flag, before in vars(parsed).items():
        after: Any = args
        for name in flag.split("."):
            after = getattr(after, name)
        if after != before:
            found.append(Rewrite(flag, before, after))
    return found
