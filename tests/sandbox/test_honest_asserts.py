"""Asserts on honest programs get the verdict of plain exec.

Covers: ~430 asserts as language models write them, each against a right and a wrong program, in a list and
alone; generated asserts; what is a claim.
Does not cover: other formats (test_honest.py), MBPP (test_mbpp.py), hostile programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.sandbox import Limits, Sandbox, Verdict
from acecoder_rl.sandbox.asserts import parse_simple
from tests.plain import plain_exec
from tests.sandbox.honest import sections


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, limits=Limits(test_seconds=4.0)) as made:
        yield made


def statuses(verdict: Verdict) -> list[str]:
    return [outcome.status for outcome in verdict.outcomes]


def passes(verdict: Verdict) -> list[bool]:
    return [status == "passed" for status in statuses(verdict)]


@pytest.mark.parametrize("name", ["strings", "numbers", "collections", "functions", "classes"])
@pytest.mark.parametrize("which", ["right", "wrong"])
def test_asserts_agree_with_plain_exec(sandbox: Sandbox, name: str, which: str) -> None:
    parts = sections(name)
    program, tests = parts[which], parts["tests"].strip().split("\n\n")
    verdict = sandbox.run(program, tests)
    expected = plain_exec(program, "", tests)
    assert which == "wrong" or sum(expected) > 0.9 * len(tests)
    pairs = zip(tests, expected, verdict.outcomes, strict=True)
    assert [(test, got) for test, want, got in pairs if want != (got.status == "passed")] == []
    assert verdict.isolation == "split" and all(o.message for o in verdict.outcomes if o.status != "passed")
    # Alone, an assert may be simple enough for the worker to judge it without the judge.
    simple = [test for test in tests if parse_simple(test, None)]
    verdicts = sandbox.run_many([(program, [test]) for test in simple])
    alone = [plain_exec(program, "", [test])[0] for test in simple]
    assert [(t, v) for t, p, v in zip(simple, alone, verdicts, strict=True) if p != v.passed] == []


def test_truth_and_hash_of_objects_are_claims_and_only_of_named_classes(sandbox: Sandbox) -> None:
    same = "__eq__ = lambda self, other: True\n    __hash__ = lambda self: 1\n    __bool__ = lambda self: False"
    program = f"class Box:\n    {same}\ndef f(): return Box()"
    named = sandbox.run(program, ["assert not Box()", "assert len({Box(), Box()}) == 1", "assert Box().x == 1"])
    assert statuses(named) == ["passed", "passed", "error"] and named.outcomes[0].claimed and named.claimed
    other = sandbox.run(program, ["assert not f()", "x = f()\nassert not x", "assert len({f(), f()}) == 1"])
    assert statuses(other) == ["failed"] * 3


@pytest.mark.parametrize(
    ("test", "claimed"),
    [
        ("assert eval(f('1 + 5')) == 6", True),
        ("space = {}\nexec(f('x = 6'), space)\nassert space['x'] == 6", True),
        ("import pickle\nassert pickle.loads(f(pickle.dumps(6))) == 6", True),
        ("assert eval('f(6)') == 6 and f(eval('3 + 3')) == 6", False),
        ("import re\nassert re.compile(f('a')).match('a')", False),
        ("def compile(text):\n    return text\nassert compile(f(6)) == 6", False),
    ],
    ids=["eval", "exec", "pickle", "constant", "regex", "own"],
)
def test_what_runs_the_programs_text_is_a_claim(sandbox: Sandbox, test: str, claimed: bool) -> None:
    verdict = sandbox.run("def f(x):\n    return x", [test, "assert (lambda: f(1))() == 1"])
    assert [(o.status, o.claimed) for o in verdict.outcomes] == [("passed", claimed)] * 2


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.binary(max_size=2),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e300]), st.sampled_from(["", "a", "ab", "é", "\ud800"]),
)  # fmt: skip
KEYS = st.one_of(st.integers(-2, 2), st.sampled_from(["a", "b"]), st.tuples(st.integers(0, 1)))
VALUES = st.recursive(
    st.one_of(SCALARS, st.sets(KEYS, max_size=3), st.frozensets(KEYS, max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=5,
)
FORMS = (
    "f({a}) == {b}", "f({a}) != {b}", "{b} == f({a})", "f({a}) == {a}", "not f({a}) == {a}", "f({a})",
    "not f({a})", "f({a}) < {b}", "f({a}) >= {b}", "f({a}) in {b}", "{b} in f({a})", "{b} not in f({a})",
    "f({a}) is None", "f({a}) is not None", "f({a}) is True", "len(f({a})) == 2", "len(f({a})) > 0",
    "sorted(f({a})) == {b}", "set(f({a})) == {b}", "list(f({a})) == [*{b}]", "tuple(f({a})) == (1, 2)",
    "isinstance(f({a}), (int, str))", "isinstance(f({a}), list)", "type(f({a})) == dict",
    "type(f({a})) is bool", "abs(f({a}) - 1) < 1e-6", "round(f({a}), 1) == 0.5", "math.isclose(f({a}), 1.0)",
    "f({a})[0] == {b}", "f(f({a})) == {a}", "f({a}) == f({b})", "all(x == {b} for x in f({a}))",
    "str(f({a})) == str({a})", "[f({a})] == [{b}]", "f(x={a}) == {b}",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FORMS), VALUES, VALUES), min_size=12, max_size=12))
def test_generated_asserts_agree_with_plain_exec(sandbox: Sandbox, drawn: list[tuple]) -> None:
    tests = [f"assert {form.format(a=ascii(a), b=ascii(b))}" for form, a, b in drawn]
    expected = []
    for test in tests:
        try:
            exec(compile(test, "<test>", "exec"), {"f": lambda x: x, "math": math})
            expected.append(True)
        except Exception:
            expected.append(False)
    program = "import math\ndef f(x):\n    return x"
    simple = [test for test in tests if parse_simple(test, "f")]
    alone = passes(sandbox.run(program, {"assert_case": simple, "entry_point": "f"})) if simple else []
    together = passes(sandbox.run(program, {"assert_case": [*tests, "x = 1"], "entry_point": "f"}))
    assert list(zip(tests, together[:-1], strict=True)) == list(zip(tests, expected, strict=True))
    wanted = dict(zip(tests, expected, strict=True))
    assert [(test, got) for test, got in zip(simple, alone, strict=True) if got != wanted[test]] == []
