"""A whole run from prepared answers: seeds, what three models say, and what comes of it by hand.

Six seeds. Of `epsilon` the imagined answer is no JSON; of `gamma` the oracle passes 4 tests, one too few.

    question  tests: imagined, kept      programs pass           rates
    alpha     8 (1 wrong, 1 twice), 6    6, 4, 1, 0 of 6         1, 2/3, 1/6, 0
    beta      5, 5                       5, 4, 2, 1 of 5         1, 0.8, 0.4, 0.2
    delta     5, 5                       all of 5                1, 1, 1, 1
    zeta      6 (1 wrong), 5             0, 0, 1, 0 of 5         0, 0, 0.2, 0

Means are 0.4583, 0.6, 1 and 0.05, their median 0.529: alpha and zeta are the lower half. Spreads there are 0.3975 and
0.0866, their median 0.242: alpha is hard.
Pairs by the paper's rule (chosen > 0.8, gap > 0.4, rejected > 0): alpha 1-1/6; beta 1-0.2 and 1-0.4. By the released
data's (>= 0.8, >= 0.4, > 0): these, and beta's 0.8-0.2 and 0.8-0.4.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.synthesis.fake_endpoint import Reply, said

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
SEEDS = {
    "alpha": "def alpha(x):\n    return 2 * x",
    "beta": "def beta(text):\n    return ''.join(reversed(text))",
    "gamma": "def gamma(items):\n    total = 0\n    for item in items:\n        total += item\n    return total",
    "delta": "def delta(first, second):\n    for _ in range(second):\n        first += 1\n    return first",
    "epsilon": "def epsilon(values):\n    return {value: len(value) for value in values if value}",
    "zeta": "def zeta(number):\n    digits = [int(digit) for digit in str(number)]\n    return max(digits)",
}
TESTS = {
    "alpha": [
        "assert alpha(1) == 2",
        "assert alpha(2) == 4",
        "assert alpha(3) == 6",
        "assert alpha(0) == 0",
        "assert alpha(-1) == -2",
        "assert alpha(5) == 10",
        "assert alpha(10) == 21",
        "assert alpha(1) == 2",
    ],
    "beta": [
        "assert beta('ab') == 'ba'",
        "assert beta('') == ''",
        "assert beta('a') == 'a'",
        "assert beta('abc') == 'cba'",
        "assert beta('xyzw') == 'wzyx'",
    ],
    "gamma": [
        "assert gamma([1]) == 1",
        "assert gamma([1, 2]) == 3",
        "assert gamma([1, 2, 3]) == 6",
        "assert gamma([4, 5]) == 9",
        "assert gamma([0]) == 1",
        "assert gamma([7]) == 8",
    ],
    "delta": [
        "assert delta(1, 2) == 3",
        "assert delta(0, 0) == 0",
        "assert delta(5, 5) == 10",
        "assert delta(7, 1) == 8",
        "assert delta(2, 9) == 11",
    ],
    "zeta": [
        "assert zeta(12) == 2",
        "assert zeta(91) == 9",
        "assert zeta(55) == 5",
        "assert zeta(7) == 7",
        "assert zeta(340) == 4",
        "assert zeta(11) == 2",
    ],
}
KEPT = {
    "alpha": TESTS["alpha"][:6],
    "beta": TESTS["beta"],
    "delta": TESTS["delta"],
    "zeta": TESTS["zeta"][:5],
}
ORACLE = {
    "alpha": "def alpha(x):\n    return x * 2",
    "beta": "def beta(text):\n    return text[::-1]",
    "gamma": "def gamma(items):\n    return sum(items)",
    "delta": "def delta(first, second):\n    return first + second",
    "zeta": "def zeta(number):\n    return max(map(int, str(number)))",
}
PROGRAMS = {
    "alpha": [
        "def alpha(x):\n    return x + x",
        "def alpha(x):\n    return x * 2 if x > 0 else 7",
        "def alpha(x):\n    return x + 1",
        "def alpha(x):\n    return 99",
    ],
    "beta": [
        "def beta(text):\n    return text[::-1]",
        "def beta(text):\n    return text[::-1] if len(text) < 4 else text",
        "def beta(text):\n    return text if len(text) < 2 else ''",
        "def beta(text):\n    return ''",
    ],
    "delta": [
        "def delta(first, second):\n    return first + second",
        "def delta(first, second):\n    return second + first",
        "def delta(first, second):\n    return sum([first, second])",
        "def delta(first, second):\n    return sum((first, second))",
    ],
    "zeta": [
        "def zeta(number):\n    return None",
        "def zeta(number) return 7",
        "def zeta(number):\n    return 7",
        "import missing\ndef zeta(number):\n    return 7",
    ],
}
PASSED = {
    "alpha": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]],
    "beta": [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 0]],
    "delta": [[1, 1, 1, 1, 1]] * 4,
    "zeta": [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]],
}
RATES = {name: [sum(each) / len(each) for each in passed] for name, passed in PASSED.items()}
PAIRS = {  # numbers of PROGRAMS: chosen, rejected
    "paper": {"alpha": {(0, 2)}, "beta": {(0, 2), (0, 3)}},
    "released": {"alpha": {(0, 2)}, "beta": {(0, 2), (0, 3), (1, 2), (1, 3)}},
}
HARD = ["alpha"]


def question(name: str) -> str:
    """As it was imagined."""
    return f"Write a function {name} that does what {name} does."


def answer(body: dict[str, Any], number: int = 0) -> Reply:
    """What the models say: "writer" imagines, "oracle" and "solver" write programs."""
    name = re.findall("|".join(NAMES), body["messages"][-1]["content"])[0]
    first, count = body.get("seed") or 0, body.get("n") or 1
    if body["model"] == "writer":
        told = json.dumps({"question": question(name), "tests": TESTS[name]}) if name in TESTS else "No."
        return said(*[told] * count, tokens=(100, 50))
    programs = [ORACLE[name]] if body["model"] == "oracle" else PROGRAMS[name]
    texts = [f"Here it is:\n```python\n{programs[(first + each) % len(programs)]}\n```\n" for each in range(count)]
    return said(*texts, tokens=(40, 20 * count))
