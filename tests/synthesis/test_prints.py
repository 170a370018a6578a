"""Taking prints out of a program changes nothing else: neither what it does nor how it is written.

Run: pytest tests/synthesis/test_prints.py
"""
# ruff: noqa: E501 (programs on one line)

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.synthesis.prints import without_prints


def left(code: str) -> str:
    return without_prints(code, ast.parse(code))[0]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # The rest keeps its comments and its layout.
        ("def f(x):  # one\n    # two\n    print(x)  # three\n    return  x+1  # four", "def f(x):  # one\n    # two\n    return  x+1  # four"),
        ("def f(x):\n    print(x)", "def f(x):\n    pass"),
        ("def f(x):\n    '''Doc.'''\n    print(x)", "def f(x):\n    '''Doc.'''"),
        ("class A:\n    print(1)\n    print(2)", "class A:\n    pass"),
        ("class A: print('x')", "class A: pass"),
        ("if a: print(1)\nelif b: print(2)\nelse: print(3)", "if a: pass\nelif b: pass\nelse: pass"),
        ("for x in y:\n    print(x)\nelse:\n    print()", "for x in y:\n    pass\nelse:\n    pass"),
        (
            "try:\n    print(1)\nexcept E as e:\n    print(e)\nelse:\n    print(2)\nfinally:\n    print(3)",
            "try:\n    pass\nexcept E as e:\n    pass\nelse:\n    pass\nfinally:\n    pass",
        ),
        ("match a:\n    case 1: print(1)\n    case _:\n        print(2)", "match a:\n    case 1: pass\n    case _:\n        pass"),
        ("with a as b:\n    print(b)\n    go(b)", "with a as b:\n    go(b)"),
        # Several statements on a line, one statement on several lines, wide characters before it.
        ("print(1); a = 2; print(a); b = 3; print(b);  # c", "a = 2; b = 3; # c"),
        ("if a: print(1); print(2)", "if a: pass"),
        ("if a: print(1); b = 2", "if a: b = 2"),
        ("a = 1\nprint('é',\n      # why\n      a,\n)\nb = 2", "a = 1\nb = 2"),
        ("a = 'é'; print(a); b = 'ü'", "a = 'é'; b = 'ü'"),
        # Own functions that are shown at the top level go, too; inside a function a call may do something.
        ("def f(n):\n    return n\nprint(f(3), math.sqrt(2), 'a'.upper())", "def f(n):\n    return n"),
        ("class A:\n    def b(self): pass\nprint(A().b())", "class A:\n    def b(self): pass"),
        ("def f(n):\n    print('f', g(n), n)\n    return n", "def f(n):\n    g(n)\n    return n"),
    ],
)  # fmt: skip
def test_text(code, expected):
    assert left(code).rstrip("\n") == expected


@pytest.mark.parametrize(
    "code",
    [
        "f = lambda x: print(x)",
        "[print(x) for x in y]",
        "a and print(a)",
        "x = print(1)",
        "list(map(print, y))",
        "@print\ndef f(): pass",
        "log.print(1)",
        "pprint(1)",
        'a = """\nprint(1)\n"""',
        "a = 'print(1)'  # print(2)",
        "def f():\n    '''\n    >>> print(1)\n    print(2)\n    '''",
        # Another print.
        "def print(*a):\n    log(a)\nprint(1)",
        "from rich import print\nprint(1)",
        "import mylog as print\nprint(1)",
        "def f(print):\n    print(1)",
        "f = lambda print: print(1)\nprint(2)",
        "def f():\n    global print\n    print = log\n    print(1)",
        "for print in callbacks:\n    print(1)",
        "import builtins\nbuiltins.print = log\nprint(1)",
        "class print:\n    pass\nprint()",
        "match x:\n    case {'a': 1, **print}:\n        print(1)",
        # Elsewhere than on the screen.
        "def f(out):\n    print(1, file=out)",
        "def f(more):\n    print(1, **more)",
    ],
)
def test_what_is_no_print_statement_stays(code):
    assert left(code) == code


def outcome(code: str) -> dict[str, Any]:
    """What a program leaves behind: its data, and what `result` returns."""
    names: dict[str, Any] = {"print": lambda *values, **more: None}
    exec(compile(code, "program", "exec"), names)
    result = names["result"]()
    functions = {name: value.__doc__ for name, value in names.items() if callable(value)}
    return (
        {name: value for name, value in names.items() if isinstance(value, int | str | list)} | functions | {"": result}
    )


@pytest.mark.parametrize(
    "code",
    [
        "def result():\n    stack = [1, 2, 3]\n    print('popped', stack.pop(), stack)\n    return stack",
        "stack = [1, 2]\nprint(stack.pop())\ndef result(): return len(stack)",
        "def result():\n    print(n := 10)\n    return n",
        "def result():\n    print((lambda: 1)(), *[seen.append(1)])\n    return seen\nseen = []",
        "def count():\n    got = []\n    print((yield 1))\n    got.append(2)\n    yield got\ndef result(): return list(count())",
        "def result():\n    numbers = iter([1, 2, 3])\n    print(next(numbers), end=str(next(numbers)))\n    return next(numbers)",
        "n = 0\ndef more():\n    global n\n    n += 1\nprint(more())\ndef result(): return n",
        # A text must not become a docstring.
        "def result():\n    print('hi')\n    'no docstring'\n    return result.__doc__",
        "class A:\n    print(1)\n    'no docstring'\ndef result(): return A.__doc__",
        "import queue\nq = queue.Queue()\nq.put(1)\nprint(q.get())\ndef result(): return q.qsize()",
        "def result():\n    a = 1; \\\n    print(a)\n    return a",
        "def result():\n\tif True:\n\t\tprint('tab')\n\treturn 1",
        "def result():\n    while True:\n        print(1); break\n    return 2",
    ],
)  # fmt: skip
def test_what_a_program_does_is_the_same(code):
    again = left(code)
    assert outcome(again) == outcome(code)
    assert "print" not in again


PRINTS = [
    "print()",
    "print(a)",
    "print('a;b', '#', a)",
    "print(f'{a}é')",
    "print(a,\n{}      '#')",
    "print(log.append(9))",
]
OTHERS = ["log.append({n})", "a += 1", "'text'", "x = 'print(1)'; log.append(x)", "log.append(len(log))  # print(2)"]
HEADS = [
    "if a % 2:\n{}\nelse:\n{}",
    "for b in range(2):\n{}",
    "try:\n{}\nfinally:\n{}",
    "try:\n{}\nexcept ValueError:\n{}\nelse:\n{}",
    "with open('/dev/null') as c:\n{}",
    "match a:\n    case 1:\n{deep}\n    case _:\n{deep}",
]


def indented(text: str, by: str = "    ") -> str:
    return "\n".join(by + line for line in text.split("\n"))


simple = st.one_of(st.sampled_from(PRINTS), st.sampled_from(PRINTS), st.sampled_from(OTHERS)).map(
    lambda text: text.replace("{n}", "7").replace("{}", "")
)
one_line = st.lists(st.sampled_from([*PRINTS[:4], *OTHERS[:3]]), min_size=1, max_size=4).map(
    lambda parts: "; ".join(parts).replace("{n}", "5")
)


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def fill(head: str, bodies: list[str]) -> str:
        texts = [indented(body) for body in bodies]
        deep = iter(indented(body, " " * 8) for body in bodies)
        while "{deep}" in head:
            head = head.replace("{deep}", next(deep), 1)
        for text in texts:
            head = head.replace("{}", text, 1)
        return head

    body = st.lists(inner, min_size=1, max_size=3).map("\n".join)
    return st.builds(fill, st.sampled_from(HEADS), st.lists(body, min_size=3, max_size=3))


statements = st.recursive(st.one_of(simple, one_line), blocks, max_leaves=8)


@settings(max_examples=80, deadline=None)
@given(st.lists(statements, min_size=1, max_size=4).map("\n".join))
def test_any_nesting(body):
    code = "log = []\ndef result():\n    a = 1\n" + indented(body) + "\n    return a, log\n"
    again = left(code)
    assert outcome(again) == outcome(code)
    assert not any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(ast.parse(again)))


def test_a_tree_too_deep_is_told():
    code = "print(1)\na = " + "+".join("1" * 5000)
    with pytest.raises(RecursionError):
        left(code)
