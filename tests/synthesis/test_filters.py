"""Each source's filter keeps what it is to keep, and has a reason for the rest.

Run: pytest tests/synthesis/test_filters.py
"""

from __future__ import annotations

import pytest

from acecoder_rl.problems import ProblemError
from acecoder_rl.synthesis.filters import REASONS, Refused, Seed, seed_of

CODE = "def f(x):\n    return x + 1"
LONG = "def f(x):\n    '''A function that has just enough characters for the filter of The Stack.'''\n    return x + 1"


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt adds one."


@pytest.mark.parametrize(
    ("name", "record", "program"),
    [
        ("evol", {"instruction": "Add.", "response": fenced(CODE)}, CODE),
        # The first block counts, and a fence within a docstring ends none.
        ("evol", {"instruction": "Add.", "response": fenced(CODE) + fenced("f(1)")}, CODE),
        ("evol", {"instruction": "Add.", "response": fenced("x", "bash") + fenced(CODE)}, CODE),
        (
            "evol",
            {"instruction": "Add.", "response": fenced('def f():\n    """\n    ```\n    f()\n    ```\n    """')},
            'def f():\n    """\n    ```\n    f()\n    ```\n    """',
        ),
        ("oss", {"lang": "python", "instruction": "Add.", "response": fenced(CODE)}, CODE),
        ("stack", {"content": LONG}, LONG),
        ("stack", {"content": f"\ufeff\r\n{LONG}\r\n".replace("\n", "\r\n")}, LONG),
        ("plain", {"program": CODE, "instruction": "Add."}, CODE),
        ("plain", {"program": fenced(CODE)}, CODE),
        ("plain", {"program": f"def g():\n    'Not ```python\\nprint(1)\\n``` this'\n\n{CODE}"}, None),
        ("plain", {"program": "class A:\n    pass"}, "class A:\n    pass"),
        ("plain", {"program": "async def f(): pass"}, "async def f(): pass"),
    ],
)
def test_kept(name, record, program):
    seed = seed_of(record, name)
    assert seed == Seed(program or record["program"], record.get("instruction"), 0)


@pytest.mark.parametrize(
    ("name", "record", "reason"),
    [
        ("evol", {"instruction": "", "response": "No code at all."}, "no_program"),
        ("evol", {"instruction": "", "response": f"```python\n{CODE}"}, "no_program"),  # not closed
        ("evol", {"instruction": "", "response": "```python\n\n```"}, "no_program"),
        ("evol", {"instruction": "", "response": fenced(CODE, "java")}, "no_program"),
        ("evol", {"instruction": "", "response": None}, "no_program"),
        ("evol", {"instruction": "", "response": fenced("x = 'class and def '")}, "no_definition"),
        ("oss", {"lang": "rust", "instruction": "", "response": fenced(CODE)}, "other_language"),
        ("oss", {"lang": "python", "instruction": "", "response": fenced("f = 3")}, "no_definition"),
        ("stack", {"content": CODE}, "too_short"),
        ("plain", {"program": ""}, "no_program"),
        ("plain", {"program": "def f(:"}, "unparsable"),
        ("plain", {"program": "def f():\n    print 'Python 2'"}, "unparsable"),
        ("plain", {"program": "def f(): pass\0"}, "unparsable"),
        ("plain", {"program": "def f(): return '\ud800'"}, "unparsable"),
        ("plain", {"program": "def f(): pass\nprint(1)\na = " + "+".join("1" * 5000)}, "unparsable"),
        ("plain", {"program": CODE + "\n" + "# more\n" * 4000}, "too_long"),
    ],
)
def test_refused(name, record, reason):
    refused = seed_of(record, name)
    assert isinstance(refused, Refused) and refused.reason == reason
    assert reason in REASONS


def test_lengths_and_columns_may_be_others():
    record = {"code": CODE, "task": "Add."}
    assert seed_of(record, program="code", instruction="task") == Seed(CODE, "Add.", 0)
    assert seed_of({"content": CODE}, "stack", min_chars=len(CODE)) == Seed(CODE, None, 0)
    assert seed_of({"program": CODE}, max_chars=len(CODE) - 1) == Refused("too_long", {"chars": len(CODE)})


def test_prints_go_and_are_counted():
    seed = seed_of({"program": f"{CODE}\n\nif __name__ == '__main__':\n    print(f(1))\n    print('done')\n"})
    assert seed == Seed(f"{CODE}\n\nif __name__ == '__main__':\n    pass", None, 2)


def test_a_row_of_another_source_is_an_error():
    with pytest.raises(ProblemError, match="has no field 'response', but 'program': name the filter or the column"):
        seed_of({"program": CODE}, "evol")
    with pytest.raises(ProblemError, match=r"field 'program' is \['a'\]: give a text"):
        seed_of({"program": ["a"]})
