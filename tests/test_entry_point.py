"""Which name of the program the tests call is inferred from the tests alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from acecoder_rl.problems import parse_tests


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        (["assert sorted(f(g(1))) == [1]", "assert f(2) == [2]"], "f"),
        (["assert math.isclose(f(1), 2.0, rel_tol=1e-6)"], "f"),
        (["import math\nassert math.sqrt(f(1)) == 2"], "f"),
        (["assert Counter(f('a')) == Counter('a')"], "f"),
        (["assert gcd(12, 17) == 1"], "gcd"),
        (["assert Solution().add(1, 2) == 3"], "Solution"),
        (["s = Stack()\ns.push(1)\nassert s.pop() == 1"], "Stack"),
        (["assert sum(10, 15) == 6", "assert sum(100, 150) == 93"], "sum"),
        (["assert len(max([1])) == 1"], "max"),
        (["assert check(add)"], "check"),
        (["def check(c):\n    assert c(1)\ncheck(add)"], "add"),
        (["assert Color.RED.value == 1"], "Color"),
        (["from solution import add as plus\nassert plus(1, 2) == helper(helper(3))"], "plus"),
        (["assert all(f(x) == y for x, y in zip(a, b))"], "f"),
        (["assert (lambda k: f(k))(3) == 3"], "f"),
        (["try:\n    f(-1)\nexcept ValueError as error:\n    assert str(error)"], "f"),
        (["assert 1 == 1"], None),
    ],
)
def test_the_entry_point_is_inferred(tests, expected):
    assert parse_tests(tests).entry_point == expected


def test_names_of_the_setup_are_not_entry_points():
    setup = "class Node:\n    pass\nroot = Node(1)"
    assert parse_tests(["assert depth(Node(1)) == depth(root)"], setup=setup).entry_point == "depth"


def test_a_given_entry_point_wins():
    tests = parse_tests(["assert f(g(1)) == 2"], "g")
    assert tests.entry_point == "g"
    assert parse_tests(tests, "f").entry_point == "f"
    assert parse_tests({"fn_name": "add", "inputs": [[1]], "outputs": [1]}, "Solution().add").entry_point == "Solution"


def test_warnings_of_test_code_stay_quiet():
    code = r"""from acecoder_rl.problems import parse_tests; parse_tests([r"assert f('\d') is 3"])"""
    done = subprocess.run([sys.executable, "-Wdefault", "-c", code], capture_output=True, text=True, check=True)
    assert "escape" not in done.stderr
