"""How code benchmarks are asked, as EvalPlus does it, and which program an answer is.

Covers: chat prompts, base models that go on from a prompt, where their answers end, answers that are a function's
    body alone, answers that break off.
Does not cover: rendering a chat (the engine's or the endpoint's).
Hostile input: an answer is any text; parsing it has a budget.
Source: evalplus 0.3.1, codegen.py and provider/utility.py.
"""

from __future__ import annotations

import ast
import re
import textwrap

from acecoder_rl.completions import extract_program
from acecoder_rl.evaluation.benchmarks.items import Item
from acecoder_rl.evaluation.benchmarks.needed import needed
from acecoder_rl.fences import PARSE_BUDGET, Parser

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
)
PREFIX = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:\n"
    "```python\n"
)
STOPS = ("<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(", "\nprint(")
FUNCTION_STOPS = (*STOPS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ")
LINES = 400  # of an answer that breaks off: how often one is tried with less
_PLACE = re.compile(r"line (\d+)\)$")  # of an error, in a message of the parser


def chat(code: str) -> str:
    """The user's turn around a code prompt."""
    return f"{INSTRUCTION}\n```\n{code.strip()}\n```\n"


def cut(text: str, stops: tuple[str, ...]) -> str:
    """The text up to the first of the stops."""
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def program_of(item: Item, text: str, base: bool, stops: tuple[str, ...]) -> str:
    """The program that an answer is, as it is run: without examples and checks of its own; "" for none.

    Args:
        base: a base model's, which goes on from `item.head`; else a chat's, or a file's: then a program that defines
            what the tests call is taken as it is, and what is only a body is joined with the head.
    """
    program = _answered(item, text, base, stops)
    name = item.problem.entry_point
    if program and item.head and name:
        tree = Parser(PARSE_BUDGET)(program)[0]
        program = program if tree is None else needed(program, tree, name, item.named)
    # Nothing may stand before imports from the future.
    return item.before + program if program and "from __future__" not in program else program


def _answered(item: Item, text: str, base: bool, stops: tuple[str, ...]) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if base:
        text = cut(text, stops)
        if item.head:
            return _whole(item.head + text)
    found = extract_program(text, item.problem.tests).code
    name = item.problem.entry_point
    if not item.head or not name or _defines(found, name):
        return found
    for body in (text, _indented(found, text)):
        joined = item.head + body.rstrip() + "\n"  # with functions that stand behind it: it may call them
        if Parser(PARSE_BUDGET)(joined)[0] is None:
            joined = _whole(item.head + cut(body.rstrip() + "\n", stops))
        if body.strip() and _defines(joined, name) and len(joined.strip()) > len(item.head.strip()):
            return joined
    return found


def _indented(code: str, text: str) -> str:
    """Code as it stands in the text: extracting takes the indentation away that the body of a function needs."""
    first = next((line for line in code.split("\n") if line.strip()), "")
    lead = re.search(rf"^([ \t]+){re.escape(first.rstrip())}[ \t]*$", text, re.MULTILINE) if first else None
    if lead is None:
        return code
    return lead[1] + code if code in text else textwrap.indent(code, lead[1])  # of its first line alone, or of all


def _whole(program: str) -> str:
    """Without last lines that break off, or are no Python."""
    parse, lines = Parser(PARSE_BUDGET), program.rstrip().split("\n")
    end = len(lines)
    for _ in range(LINES):
        part = "\n".join(lines[:end]) + "\n"
        tree, message = parse(part)
        if tree is not None:
            return part
        # No line behind the one that cannot be read mends it. Within an f-string its number may be another.
        place = None if "f-string" in message else _PLACE.search(message)
        end = min(end - 1, int(place[1]) if place else end)
        if end < 1:
            break
    return program


def _defines(code: str, name: str) -> bool:
    tree = Parser(PARSE_BUDGET)(code)[0] if code else None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return tree is not None and any(
        (isinstance(node, kinds) and node.name == name)
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name)
        for node in ast.walk(tree)
    )
