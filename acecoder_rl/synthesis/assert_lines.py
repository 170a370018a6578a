"""The assert statements in a text that should have been JSON: in fences, in lists, in quotes that are not escaped.

Covers: numbered and bulleted lines, back ticks, lines of a broken list of strings, statements over several lines.
Does not cover: asserts within a program: those of test functions are taken, others belong to the program.
Hostile input: what is parsed is bounded by the `Parser`'s budget; nothing is run.
"""

from __future__ import annotations

import ast
import json
import re

from acecoder_rl.fences import Parser

LONGEST = 30  # lines of a statement
LOOK_BACK = 40  # lines above an indented one
_LINE = re.compile(
    r"(?P<indent>[ \t]*+)(?P<mark>(?:[-*+•>]\s++|\(?\d{1,3}[.):]\s++|\*\*|test(?:\s?case)?\s?\d{0,3}\s?[:.]\s*+)*+)"
    r"(?P<quote>`{1,2}|[\"'])?(?P<body>assert\b.*)",
    re.I,
)
_CODE = re.compile(r"\s*+(?:async\s|def\s|class\s|if\b|elif\b|else\b|for\s|while\b|try\b|except\b|finally\b|with\s)")
_TEST_CODE = re.compile(r"\s*+(?:async\s+)?(?:def\s+test|def\s+check|def\s+main|class\s+test|if\s+__name__)", re.I)


def asserts_in(text: str, cut: bool, parse: Parser) -> list[str]:
    """Every whole assert statement, in order.

    Args:
        cut: the text breaks off at its end: a statement that reaches it may be half of one.
    """
    lines = text.split("\n")
    found = []
    number = 0
    while number < len(lines):
        match = _LINE.match(lines[number])
        if match is None:
            number += 1
            continue
        quote, used = match["quote"], 1
        if quote in ('"', "'"):
            test = _quoted(lines, number, match.start("quote"), quote, cut, parse)
        elif quote:
            body, closed, _ = match["body"].partition(quote)
            test = _statement(body, parse) if closed else None
        elif match["indent"] and not match["mark"].strip() and _in_program(lines, number, len(match["indent"])):
            test = None
        else:
            test, used = _bare(lines, number, match["body"], cut, parse)
        if test is not None:
            found.append(test)
        number += used
    return found


def _bare(lines: list[str], number: int, body: str, cut: bool, parse: Parser) -> tuple[str | None, int]:
    """A statement that begins here, and its lines."""
    for used in range(1, min(LONGEST, len(lines) - number) + 1):
        if used > 1:
            line = lines[number + used - 1]
            if line.lstrip().startswith(("```", "assert ")):
                break
            body += "\n" + line
        if (test := _statement(body.rstrip().rstrip(","), parse)) is not None:
            if cut and number + used == len(lines):
                return None, used
            return test, used
    return None, 1


def _quoted(lines: list[str], number: int, start: int, quote: str, cut: bool, parse: Parser) -> str | None:
    """A statement that is one line of a list of strings."""
    line = lines[number][start:].rstrip()
    rest = line.removesuffix(",")
    if len(rest) < 2 or not rest.endswith(quote):
        return None
    if rest == line:  # no comma: the last of its list, or half of something
        after = next((later.strip() for later in lines[number + 1 :] if later.strip()), None)
        if (after is None and cut) or (
            after is not None and not after.startswith(("]", "}", ")", "`", quote + "assert"))
        ):
            return None
    inner = rest[1:-1]
    try:
        plain = json.loads(f'"{inner}"', strict=False) if quote == '"' else inner.replace("\\'", "'")
    except ValueError:
        plain = inner.replace('\\"', '"')
    return _statement(plain, parse)


def _statement(code: str, parse: Parser) -> str | None:
    """The code, if it is assert statements and nothing else."""
    code = code.strip()
    tree, _ = parse(code)
    if tree is None or not tree.body or not all(isinstance(each, ast.Assert) for each in tree.body):
        return None
    return code


def _in_program(lines: list[str], number: int, indent: int) -> bool:
    """Whether an indented line belongs to code that is not a test's."""
    for line in reversed(lines[max(0, number - LOOK_BACK) : number]):
        width = len(line) - len(line.lstrip())
        if line.strip() and width < indent:
            if _TEST_CODE.match(line):
                return False
            if _CODE.match(line) and width == 0:
                return True
            indent = width
            if width == 0:
                return False
    return True
