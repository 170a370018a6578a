"""Of programs that are almost the same the first one stays, whatever process looks.

Run: pytest tests/synthesis/test_duplicates.py
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from acecoder_rl.synthesis.duplicates import Near

CODE = '''
def totals(orders, rates):
    """Totals of orders by country."""
    found = {}
    for order in orders:
        # what it costs there
        price = order.price * (1 + rates.get(order.country, 0))
        found[order.country] = found.get(order.country, 0) + price
    return {country: round(total, 2) for country, total in sorted(found.items())}
'''


@pytest.mark.parametrize(
    "again",
    [
        CODE,
        CODE.replace("        # what it costs there\n", "").replace("    ", "  "),
        CODE.replace("Totals of orders by country.", "What the orders of each country come to, # and all that."),
        CODE.replace(" + ", "+").replace("):\n", "):  # so\n") + "\n\n",
        CODE.replace("def totals(", "def totals_by_country("),
    ],
)
def test_near_duplicates(again):
    near = Near(0.8)
    assert near.add("a_0", CODE) is None
    found = near.add("a_1", again)
    assert found is not None and found.of == "a_0" and 0.8 <= found.similarity <= 1


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("order", "item").replace("rates", "taxes").replace("found", "sums"),
        "def other(x):\n    return x",
        # As short programs go, another operator is another program.
        "def f(a, b):\n    return a + b",
    ],
)
def test_others_stay(other):
    near = Near(0.8)
    near.add("a_0", CODE)
    near.add("a_1", "def f(a, b):\n    return a - b")
    assert near.add("a_2", other) is None


def test_the_first_is_the_one_that_is_named_and_what_went_is_forgotten():
    near = Near(0.7)
    lines = [f"    total_{number} = first_{number} * second_{number} + third_{number}" for number in range(40)]
    steps = ["\n".join(["def f():", *lines[step : step + 20]]) for step in (0, 2, 4)]
    # 18 of 22 lines are the first one's: one is near the other, and the third one to the second, but not to the first.
    assert near.add("a", steps[0]) is None
    assert near.add("b", steps[1]).of == "a"
    assert near.add("c", steps[2]) is None
    assert near.add("d", steps[1]).of == "a"


def test_the_threshold_is_exact():
    near = Near(0.99)
    near.add("a", CODE)
    assert near.add("b", CODE.replace("def totals(", "def totals_by_country(")) is None
    assert near.add("c", CODE).similarity == 1.0


def test_almost_all_are_found():
    """Programs of 60 lines, one of which is another: similarity about 0.94."""
    chance, near, missed = random.Random(7), Near(0.8), 0
    for number in range(150):
        lines = [f"    v{chance.randrange(10**6)} = f{chance.randrange(10**6)}(a, {line})" for line in range(60)]
        changed = [*lines[:30], "    other = something(else_altogether)", *lines[31:]]
        assert near.add(f"a_{number}", "\n".join(["def f(a):", *lines])) is None
        missed += near.add(f"b_{number}", "\n".join(["def f(a):", *changed])) is None
    assert missed <= 1


SCRIPT = """
import sys
from acecoder_rl.synthesis.duplicates import Near
near = Near(0.6)
programs = [f"def f{a % 9}(x, y):\\n    return [x * {a} + y - z for z in range({a % 5})]" for a in range(80)]
print([near.add(str(number), program) for number, program in enumerate(programs)])
"""


def test_each_process_finds_the_same():
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        ).stdout
        for seed in ("1", "2")
    }
    (told,) = said
    assert "Duplicate(of=" in told and "None" in told
