"""A row of a source -> the program in it, or why it is no seed.

Covers: the filters of AceCoder's three sources, by name, and one for files of your own:
    evol    ise-uiuc/Magicoder-Evol-Instruct-110K: the first closed Python block of `response`
    oss     ise-uiuc/Magicoder-OSS-Instruct-75K-Instruction-Response: the same, of the rows in Python
    stack   bigcode/stack-dedup-python-fns: `content`, of more than 100 characters
    plain   `program`: code, or a text with a Python block
    Each program is to parse, and to have a function or a class; its prints go (prints.py).
Does not cover: which rows of different sources are alike (duplicates.py), benchmarks (contamination.py).
The original deletes each line that begins with "print", which breaks programs, keeps what does not parse, and asks for
a function or class only of `evol`, by a search of the text; the paper (section 3) says that of all.
Hostile input: nothing is executed; any text is a seed or has a reason why not.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from acecoder_rl.cases import At, shown
from acecoder_rl.fences import PARSE_BUDGET, Parser, find_blocks, find_fences
from acecoder_rl.synthesis.prints import without_prints

FilterName = Literal["plain", "evol", "oss", "stack"]
# Why a row is no seed.
REASONS = {
    "other_language": "is not in Python, by its `lang`",
    "no_program": "has no text, or no closed block of Python in it",
    "too_short": "has fewer characters than `min_chars`",
    "too_long": "has more characters than `max_chars`",
    "unparsable": "does not parse",
    "no_definition": "has neither function nor class",
    "contaminated": "shares words with a benchmark",
    "near_duplicate": "is almost an earlier one",
}


class Filter(NamedTuple):
    """What is known of a source.

    Attributes:
        source: its name in ids and in the column `source`; None = the file's.
        program: the column of the program, or of the answer that holds it.
        fenced: whether a block is looked for: "always", "never", or "else" where the whole is no program.
        min_chars: of the program.
    """

    source: str | None
    program: str
    fenced: Literal["always", "never", "else"]
    min_chars: int = 1


FILTERS: dict[FilterName, Filter] = {
    "plain": Filter(None, "program", "else"),
    "evol": Filter("evol", "response", "always"),
    "oss": Filter("oss", "response", "always"),
    "stack": Filter("bigcode_python_fns", "content", "never", 101),
}


@dataclass(frozen=True)
class Seed:
    """A program to make an exercise of.

    Attributes:
        program: without its prints.
        instruction: what it was the answer to, where known.
        prints: statements that went.
    """

    program: str
    instruction: str | None
    prints: int


@dataclass(frozen=True)
class Refused:
    """Why a row is no seed: one of REASONS, and whatever explains it."""

    reason: str
    detail: dict[str, Any] = field(default_factory=dict)


def seed_of(
    record: Mapping[str, Any],
    name: FilterName = "plain",
    *,
    program: str | None = None,
    instruction: str = "instruction",
    min_chars: int | None = None,
    max_chars: int = 20_000,
    at: At | None = None,
) -> Seed | Refused:
    """Sift a row.

    Args:
        name: of the filter.
        program: another column than the filter's.
        instruction: a column that may be missing.
        min_chars, max_chars: of the program, its prints included; None = the filter's.
        at: the row's place, for errors.

    Raises:
        ProblemError: the row has no such column, or something else than a text in it.
    """
    at, known = at or At(), FILTERS[name]
    if name == "oss" and _text(record, "lang", at) != "python":
        return Refused("other_language", {"lang": record["lang"]})
    text = _text(record, program or known.program, at).replace("\r\n", "\n").replace("\r", "\n")
    found = _program_in(text, known.fenced, max_chars)
    if isinstance(found, Refused):
        return found
    code = found.removeprefix("\ufeff").strip("\n")
    if not code.strip():
        return Refused("no_program")
    if len(code) < (known.min_chars if min_chars is None else min_chars):
        return Refused("too_short", {"chars": len(code)})
    if len(code) > max_chars:
        return Refused("too_long", {"chars": len(code)})
    tree, error = Parser(PARSE_BUDGET)(code)
    if tree is None:
        return Refused("unparsable", {"error": error})
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(tree)):
        return Refused("no_definition")
    try:
        code, prints = without_prints(code, tree)
    except RecursionError as deep:
        return Refused("unparsable", {"error": str(deep)})
    asked = _text(record, instruction, at) if instruction in record else ""
    return Seed(code.strip("\n"), asked.strip() or None, prints)


def _text(record: Mapping[str, Any], column: str, at: At) -> str:
    if column not in record:
        at.fail(f"has no field {column!r}, but {', '.join(map(repr, record)) or 'none'}: name the filter or the column")
    value = record[column]
    if value is None:
        return ""
    if not isinstance(value, str):
        at[column].fail(f"is {shown(value)}: give a text")
    return value


def _program_in(text: str, fenced: str, max_chars: int) -> str | Refused:
    if fenced == "never":
        return text
    if fenced == "else" and (("```" not in text and "~~~" not in text) or _parses(text.strip("\n"))):
        return text
    for block in find_blocks(text, find_fences(text), Parser(PARSE_BUDGET))[0]:
        if block.language == "python":
            if not block.closed or not block.code.strip():
                break
            return block.code
    return Refused("no_program")


def _parses(code: str) -> bool:
    return Parser(PARSE_BUDGET)(code)[0] is not None
