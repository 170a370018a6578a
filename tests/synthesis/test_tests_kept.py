"""Which tests are tests, by their text alone: each rule, and that no text breaks the sorting.

Does not cover: tests that programs sort out (test_verify.py).
"""

from __future__ import annotations

import pytest

from acecoder_rl.sandbox import Sandbox
from acecoder_rl.synthesis.tests_kept import REASONS, keep_tests

SOUND = [f"assert f({number}) == {number + 1}" for number in range(100, 104)]


def reason(test, *others):
    """Why a test among sound ones goes; None = it stays."""
    kept = keep_tests([*SOUND, *others, test])
    assert kept.entry_point == "f"
    gone = dict((str(text), why) for text, why in kept.dropped)
    assert set(gone.values()) <= REASONS.keys()
    assert (str(test) in gone) != (test in kept.tests)
    return gone.get(str(test))


@pytest.mark.parametrize(
    "test",
    [
        "assert f(1) == 2, 'a message'",
        "assert f(1) == 2, f'got {f(1)}'",
        "assert not f(-1)",
        "assert 2 == f(1) and f(2) == 3",
        "assert f(x=[1, (2, {3})], y={'a': None}) is None",
        "assert f(*[1, 2], **{'c': 3}) != 10**9",
        "assert 1 <= f(1) < 3",
        "assert abs(f(2) - 1.4142) < 1e-4",
        "assert math.isclose(f(2), math.sqrt(2), rel_tol=1e-9)",
        "assert sorted(f('abc').items(), key=lambda item: item[1]) == [('a', 1)]",
        "assert f('x' * 1000)[-1] == 'x'.upper()",
        "assert f([i * i for i in range(10) if i % 2]) == {i: i for i in range(3)}",
        "assert all(isinstance(part, str) for part in f('a b'))",
        "assert f(lambda x, *rest, y=1: x + y, 3) == 4",
        "assert f(datetime.date(2024, 2, 29), Decimal('0.1')) == Fraction(1, 3)",
        "assert f(float('inf')) == set()",
        "assert Counter(f([1])) == collections.Counter([1])",
    ],
)
def test_these_stay(test):
    assert reason(test) is None


@pytest.mark.parametrize(
    ("expected", "test"),
    [
        ("not_text", 7),
        ("not_text", None),
        ("unparsable", "assert f(1 == 2"),
        ("unparsable", "assert f(1) == 2\0"),
        ("unparsable", "The function returns 2"),
        ("unparsable", ""),
        ("not_one_assert", "x = 1\nassert f(x) == 2"),
        ("not_one_assert", "assert f(1) == 2\nassert f(2) == 3"),
        ("not_one_assert", "import math\nassert f(1) == 2"),
        ("not_one_assert", "for i in range(3): assert f(i) == i + 1"),
        ("not_one_assert", "f(1) == 2"),
        ("no_call", "assert g(1) == 2"),
        ("no_call", "assert 1 + 1 == 2"),
        ("no_call", "assert f"),
        ("outside", "assert f(random.randint(1, 6)) == 2"),
        ("outside", "assert f(time.time()) > 0"),
        ("outside", "assert f(datetime.datetime.now()) == 2"),
        ("outside", "assert f(datetime.date.today().year) == 2"),
        ("outside", "assert f(open('data.txt').read()) == 2"),
        ("outside", "assert f(os.environ['HOME']) == 2"),
        ("outside", "assert f(requests.get('http://x').text) == 2"),
        ("outside", "assert print(f(1)) is None"),
        ("outside", "assert f(__import__('os').getpid()) == 2"),
        ("outside", "assert f(hash('a')) == id(3)"),
        ("outside", "assert f(1) == 2, print('wrong')"),
        ("unknown_name", "assert f(data) == 2"),
        ("unknown_name", "assert f(Node(1)) == 2"),
        ("unknown_name", "assert f([i for i in [1]][i]) == 2"),
        ("not_constant", "assert f(1) == f(1)"),
        ("not_constant", "assert f(f(1)) == 1"),
        ("not_constant", "assert all(a <= b for a, b in zip(f(1), f(2)))"),
        ("not_constant", "assert (y := f(1)) == 2"),
        ("not_constant", "assert list(map(f, [1])) == [f(1)]"),
        ("not_constant", "assert f(''.__class__.__subclasses__()) == 2"),
        ("vacuous", "assert (f(1) == 2, 'a message')"),
        ("vacuous", "assert f(1) == 2 or True"),
        ("vacuous", "assert [f(1)]"),
        ("vacuous", "assert (x == f(1) for x in [1])"),
    ],
)
def test_these_go(expected, test):
    assert reason(test) == expected


def test_a_name_of_another_test():
    assert reason("assert f(data) == 2", "data = [1]\nassert f(data) == 3") == "other_test"
    assert reason("assert f(cases[0]) == 2", "cases = [1]") == "other_test"
    # What stands at hand for every test needs no other one.
    assert reason("assert f(math.pi) == 2", "import math\nassert f(math.e) == 1") is None


def test_duplicates_by_what_they_say():
    tests = [
        "assert f('a', [1,2]) == 3",
        'assert f("a",[1, 2])==3, "again"',
        "assert 3 == f('a', [1, 2])  # and again",
        "assert f('a', [2, 1]) == 3",
        "assert f('a', [1, 2]) != 4",
    ]
    kept = keep_tests(tests)
    assert kept.tests == [tests[0], *tests[3:]]
    assert kept.dropped == [(tests[1], "duplicate"), (tests[2], "duplicate")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assert f(1) == 2", "assert f(1) == 3"),
        ("assert f(1) == [2, 3]", "assert f( 1 ) == [3, 2]"),
        ("assert f(1) is None", "assert 0 == f(1)"),
        ("assert f(1)", "assert not f(1)"),
        ("assert f(1) == []", "assert f(1)"),
        ("assert f(1) == 2", "assert f(1) != 2"),
        ("assert len(f(1)) == 2", "assert len(f(1)) == 3"),
    ],
)
def test_both_of_two_that_contradict_each_other_go(one, other):
    for pair in ([one, other], [other, one]):
        kept = keep_tests([*SOUND, *pair])
        assert kept.tests == SOUND
        assert kept.dropped == [(test, "contradictory") for test in pair]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assert f(1) == 2", "assert f(1) == 2.0"),
        ("assert f(1) == 1", "assert f(1) is True"),
        ("assert f(1) == [2]", "assert len(f(1)) == 1"),
        ("assert f(1) == 2", "assert f(1) > 0"),
        ("assert f(1) == 2", "assert f('1') == 3"),
        ("assert f(1)", "assert f(1) == [0]"),
    ],
)
def test_what_can_both_be_true_stays(one, other):
    assert keep_tests([*SOUND, one, other]).tests == [*SOUND, one, other]


def test_the_function_that_most_tests_call():
    kept = keep_tests(["assert g(1) == 2", "assert f(1) == 2", "assert f(2) == 3", "assert sorted(f(3)) == [1]"])
    assert kept.entry_point == "f" and kept.dropped == [("assert g(1) == 2", "no_call")]
    assert keep_tests(["assert sum([1, 2]) == 3", "assert sum([]) == 0"]).entry_point == "sum"
    assert keep_tests(["assert Solution().add(1, 2) == 3"]).tests == ["assert Solution().add(1, 2) == 3"]


@pytest.mark.parametrize("tests", [[], ["nonsense"], ["assert True"], [{"input": 1}, ["assert f(1) == 2"]]])
def test_nothing_may_be_left(tests):
    kept = keep_tests(tests)
    assert kept.tests == [] and kept.entry_point is None and len(kept.dropped) == len(tests)


def test_hostile_texts():
    texts = [
        "assert " + "(" * 5000 + "f(1)" + ")" * 5000,
        "assert f(" + "-" * 3000 + "1) == 1",
        "assert f(1" + " + 1" * 3000 + ") == 1",
        "assert f(" + "9" * 10_000 + ") == 1",
        "assert f(0x" + "f" * 10_000 + ") == 1",
        "assert f(1) == 0x" + "f" * 10_000,
        "assert f([" + "0x" + "f" * 10_000 + "][0:1]) == 1",
        "assert f('\ud800') == 1",
        "assert f(1) == 'a' * 10**9 * 10**9",
        "assert f(1) == 9 ** 9 ** 9",
        "assert f(1) == {[]: 1}",
    ]
    kept = keep_tests([*SOUND, *texts])
    assert kept.tests[: len(SOUND)] == SOUND
    assert len(kept.tests) + len(kept.dropped) == len(SOUND) + len(texts)


def test_what_stays_finds_all_its_names_in_the_sandbox():
    """A program that imports nothing passes tests that name modules and classes."""
    tests = [
        "assert f(math.pi) == math.pi",
        "assert f(Decimal('0.1')) == decimal.Decimal('0.1')",
        "assert f(Fraction(1, 3)) == fractions.Fraction(1, 3)",
        "assert f(datetime.date(2024, 2, 29)) == datetime.date(2024, 2, 29)",
        "assert f(Counter('aab')) == collections.Counter('baa')",
        "assert f(OrderedDict(a=1)) == {'a': 1}",
        "assert list(f(deque([1]))) == [1]",
        "assert f(defaultdict(int)) == {}",
        "assert isclose(f(0.1 + 0.2), 0.3)",
        "assert f(deepcopy([1])) == copy.copy([1])",
        "assert f(list(itertools.chain([1], [2]))) == [1, 2]",
        "assert f(functools.reduce(operator.add, [1, 2])) == 3",
        "assert f(string.digits) == '0123456789'",
        "assert f(statistics.mean([1, 3])) == 2",
        "assert f(cmath.sqrt(-1)) == 1j",
    ]
    assert keep_tests(tests).dropped == []
    with Sandbox(workers=1) as sandbox:
        verdict = sandbox.run("def f(x):\n    return x", tests)
    assert [outcome.message for outcome in verdict.outcomes] == [""] * len(tests)
