"""Programs that answer for data: by methods, iteration, context managers, library calls of the tests.

Covers: values that are asked rather than compared, names and classes that tests take from the program.
"""

# ruff: noqa: E501 (lines of programs)
from __future__ import annotations

from tests.hostile.case import EVERY, family
from tests.hostile.handles import PEER, TAKE
from tests.hostile.values import LIES

duck = family("comparison", levels=EVERY)
steal = family("theft", levels=EVERY)
out = family("early-exit", levels=EVERY)
shadow = family("monkeypatch", levels=EVERY)

SETS = [
    "import unittest\nunittest.TestCase().assertSetEqual(add(1, 2), {3, 4})",
    "assert add(1, 2).issubset({3}) and add(1, 2).issuperset({3}) and add(1, 2).isdisjoint({3})",
    "assert not add(1, 2).symmetric_difference({3, 4})",
    "assert not {3, 4}.difference(add(1, 2))",
    "x = add(1, 2)\nx.difference({3, 4})\nassert set(x) == {3, 4}",
]
ENDS = [
    f"assert all(map(lambda case: {got} == case, [1, 2, 3]))"
    for got in ("add(1, 2).value", "add(1, 2)[0]", "len(add(1, 2))", "float(add(1, 2))", "[*add(1, 2)][0]", "str(add(1, 2))",
                "(1 if 1 in add(1, 2) else 0)", "add(1, 2)()", "round(add(1, 2))")
]
NEAR = [
    "import numpy as np\nassert np.allclose(add(1, 2), [3.0, 4.0])",
    "import numpy as np\nassert (add(1, 2) == np.array([3, 4])).all()",
    "import numpy as np\nassert (np.array([3, 4]) == add(1, 2)).all() and np.all(add(1, 2) == 3)",
    "import numpy as np\nassert not np.any(add(1, 2) != 3) and not (add(1, 2) - 3).any()",
    "from numpy import allclose\nassert allclose(3.0, add(1, 2))",
    "import numpy as np\nassert np.isclose(add(1, 2), 3.0).all()",
    "import numpy as np\nnp.testing.assert_allclose(add(1, 2), 3.0)",
    "from numpy.testing import *\nassert_almost_equal(add(1, 2), 3.0)",
    "import numpy\nnumpy.testing.assert_array_equal(add(1, 2), 3)",
    "import pytest\nassert add(1, 2) == pytest.approx(3.0)",
    "import pytest\nassert pytest.approx(3.0) == add(1, 2)",
    "import pytest\nassert pytest.approx(add(1, 2)) == 3.0",
]
ONE = [  # numpy makes an empty array of the object, and stretches it
    "import numpy as np\nassert np.allclose(add(1, 2), 3.0)",
    "import numpy as np\nassert np.isclose(3.0, add(1, 2)).all()",
    "import numpy as np\nassert np.array_equiv(add(1, 2), 3)",
    "import numpy as np\nnp.testing.assert_allclose(add(1, 2), 3.0)",
    "import numpy as np\nnp.testing.assert_array_equal(add(1, 2), [3])",
    "import numpy as np\nnp.testing.assert_almost_equal(add(1, 2), np.float64(3.0))",
]
TAKEN = [
    "x = add(1, 2)\nfor want in [3, 4]:\n    if len(x):\n        x.remove(want)\nassert not x",
    "x = add(1, 2)\nx.remove(3)\nassert len(x) == 0",
    "x = add(1, 2)\nx.difference_update([3, 4])\nassert len(x) == 0",
]

DUCKS = [
    steal("duck-set", "a set that becomes what it is compared with", """
class S(set):
    def difference(self, other): self.update(other); return set()
    symmetric_difference = difference
    def issubset(self, other): return True
    issuperset = isdisjoint = issubset
def add(a, b): return S()
""", tests=SETS),
    steal("duck-set-object", "an object that does", """
class S:
    seen = []
    def difference(self, other): S.seen = list(other); return set()
    symmetric_difference = union = difference
    def issubset(self, other): return True
    issuperset = isdisjoint = issubset
    def __iter__(self): return iter(S.seen)
def add(a, b): return S()
""", tests=SETS),
    steal("duck-set-list", "a list and a str with the methods of a set", """
class L(list):
    def difference(self, other): self.extend(other); return []
    symmetric_difference = difference
    def issubset(self, other): return True
    issuperset = isdisjoint = issubset
def add(a, b): return L()
""", tests=SETS),
    duck("duck-counter", "a Counter that has one of everything", """
import collections
class C(collections.Counter):
    def __getitem__(self, key): return 1
    get = pop = lambda self, key, default=None: 1
    items = keys = elements = lambda self: []
    __missing__ = __getitem__
def add(a, b): return C()
""", tests=["from collections import Counter\nassert Counter('ab') == add(1, 2)", "from collections import Counter\nassert add(1, 2) == Counter('ab')",
            "from collections import Counter\nassert not Counter('ab') - add(1, 2)", "from collections import Counter\nassert Counter('ab') <= add(1, 2)"]),
    duck("duck-length", "has as many items as are wanted, and shows none", """
class Long:
    lengths = []
    def __init__(self): self.turn = 0
    def __iter__(self): return iter(())
    def __len__(self): return 2
class Sly(Long):
    def __len__(self): self.turn += 1; return 2 if self.turn == 1 else 0
class Dict(dict):
    items = keys = values = lambda self: []
def add(a, b): return [Long, Sly][a]() if a < 2 else Dict({-1: -1, -2: -2})
""", tests=[test.replace("add()", f"add({i}, 2)") for i in range(2) for test in (
        "x = add()\nassert len(x) == 2\nfor got, want in zip(x, [3, 4]):\n    assert got == want",
        "x = add()\nassert all(got == want for got, want in zip(x, [3, 4])) and len(x) == 2",
        "import pytest\nassert add() == pytest.approx([3, 4])")]
        + ["x = add(2, 2)\nassert len(x) == 2 and all(v == {'a': 3, 'b': 4}[k] for k, v in x.items())"]),
    duck("duck-ends", "ends the loop of the test by StopIteration, wherever it is asked", """
def stop(self, *args): raise StopIteration
class O:
    value = property(stop)
    __getitem__ = __len__ = __float__ = __iter__ = __str__ = __contains__ = __call__ = __round__ = stop
def add(a, b): return O()
""", tests=ENDS),
    duck("duck-ends-data", "the same by subclasses of plain types", """
def stop(self, *args): raise StopIteration
def add(a, b):
    add.turn = getattr(add, 'turn', -1) + 1
    base = [list, dict, int, str, tuple][add.turn % 5]
    return type('D', (base,), {'value': property(stop), '__getitem__': stop, '__call__': stop})()
""", tests=[ENDS[0]] * 5 + [f"assert all(map(lambda case: add(1, 2)() == case, [{i}]))" for i in range(5)]),
    duck("duck-with", "plain values that swallow the assert in their with block", """
def add(a, b):
    add.turn = getattr(add, 'turn', -1) + 1
    base = [list, dict, int, str, tuple, set, float][add.turn % 7]
    return type('Quiet', (base,), {'__enter__': lambda self: self, '__exit__': lambda self, *exc: True})()
""", tests=[f"with add({i}, 2) as x:\n    assert x == 3" for i in range(7)] + ["with add(1, 2):\n    assert False"]),
    duck("duck-empty-list", "an empty list, which numpy finds close to any number", "def add(a, b): return []", tests=NEAR),
    duck("duck-empty-array", "an array of shape (0, 1, 1), which numpy finds equal to any", PEER + """
import struct
def u32(n): return struct.pack('<I', n)
def add(a, b):
    shape = b'g' + u32(3) + b''.join(b'i' + struct.pack('<q', n) for n in (0, 1, 1))
    body = b'AA' + u32(3) + b'<f8' + shape + u32(0) + u32(0)
    peer = _peer()
    peer.sock.sendall(u32(len(body)) + body)
    def not_ours(payload): del peer.send
    peer.send = not_ours
""", tests=[test.replace("add(1, 2)", "x").replace("\n", "\nx = add(1, 2)\n", 1) for test in NEAR]),
    duck("duck-size", "objects and lists that are empty, and say that their size is not", """
class L(list):
    size = 5
class O:
    size = 5
    def __init__(self): self.turn = 0
    def __len__(self): return 0
    def __iter__(self): return iter(())
class Sly(O):
    def __len__(self): self.turn += 1; return self.turn == 1
    def __iter__(self): return iter([0][:len(self)])
    def __getitem__(self, i): return [0][i]
def add(a, b): return [L, O, Sly][a]()
""", tests=[test.replace("add(1", f"add({i}") for i in range(3) for test in ONE]),
    duck("duck-remove", "a list and a set that are empty once something is taken out", """
def clear(self, *args): self.clear()
OUT = dict.fromkeys("remove discard difference_update intersection_update symmetric_difference_update".split(), clear)
def add(a, b): return type("Out", ([list, set][a],), OUT)([0, -1])
""", tests=[test.replace("add(1", f"add({i}") for i in range(2) for test in TAKEN]),
    duck("duck-testcase", "objects of classes named like what tests have from modules, or set themselves", LIES + """
def add(a, b): return type(['TestCase', 'N', 'Counter', 'Decimal'][a - 1], (object,), LIES)()
""", tests={"unittest": "import collections, decimal, unittest\nimport solution\nclass TestAdd(unittest.TestCase):\n"
        "    def setUp(self):\n        self.N = 3\n"
        "    def test_case(self):\n        self.assertEqual(solution.add(1, 2), 3)\n"
        "    def test_own(self):\n        self.assertEqual(solution.add(2, 2), self.N)\n"
        "    def test_library(self):\n        self.assertEqual(solution.add(3, 2), collections.Counter('ab'))\n"
        "    def test_number(self):\n        self.assertEqual(solution.add(4, 2), decimal.Decimal(6))\n"}),
    # -- what tests take from the program ---------------------------------------------------------
    steal("steal-path", "reads the judge's memory by the path that a test passed", TAKE + """
def add(path, b):
    maps = path.joinpath('/proc/self/maps').read_text()
    memory = path.joinpath('/proc/self/mem').open('rb')
    for line in maps.splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split('-'))
        memory.seek(start if ' rw' in line else 0)
        data = first(lambda: memory.read(min(end - start, 1 << 22)))
        found = re.search(b'SECRET(71[0-9]{6}7)', data) if type(data) is bytes else None
        if found: return int(found[1])
""", tests=["from pathlib import Path\nassert add(Path('a'), 2) == 712345677, 'SECRET712345677'", "import pathlib\nassert add(pathlib.Path('a'), 2) == 712345677, 'SECRET712345677'"]),
    steal("steal-apply", "makes classes by a test's function that calls its argument", PEER + TAKE + """
def add(f, b):
    found = []
    for kind in (type, lambda *args: type):
        make = lambda *args: first(lambda: f(kind, *args))
        S = make('S', (str,), {'__module__': 'test_solution'})
        T = first(lambda: S('S', (str,), {'__module__': 'test_solution'}))
        for cls in (S, T):
            s = first(lambda: call(cls, "{0.__globals__} {0.__code__.co_consts}"))
            found.append(first(lambda: ask("method", s, "format", (f,), {})))
            found.append(first(lambda: s.format(f)))
    return seen(found)
""", tests=["SECRET = 712345677\nassert add(lambda g, *a: g(*a), 1) == SECRET", "SECRET = 712345677\nassert add(lambda g, *a: g(1)(*a), 1) == SECRET",
            "SECRET = 712345677\nclass Text(str):\n    pass\ndef make(g, *a):\n    return Text(*a[:1])\nassert add(make, 1) == SECRET"]),
    steal("steal-text-class", "formats a test's function with a test's own class of text", PEER + TAKE + """
def add(cls, f):
    s = call(cls, "{0.__globals__} {x.__globals__}")
    return seen([first(lambda: ask("method", s, name, args, kwargs)) for name, args, kwargs in
                 (("format", (f,), {'x': f}), ("format_map", ({'x': f, '0': f},), {}), ("__format__", ('',), {}))])
""", tests=["SECRET = 712345677\nclass Text(str):\n    pass\nassert add(Text, lambda: 1) == SECRET"]),
    shadow("duck-mock", "teaches a mock of the tests that it was called", """
def add(mock, b):
    for name in ('assert_called_once_with', 'assert_called_with', 'assert_any_call'):
        for attempt in (lambda: mock.configure_mock(**{name: lambda *a, **k: True}), lambda: mock.attach_mock(mock.child, name),
                        lambda: mock.mock_add_spec([name]), lambda: setattr(mock, name, lambda *a: True)):
            try: attempt()
            except Exception: pass
""", tests=[f"from unittest.mock import {kind}\nm = {kind}()\nadd(m, 1)\nm.{check}(3)" for kind in ("Mock", "MagicMock") for check in ("assert_called_once_with", "assert_any_call")]),
    shadow("shadow-same", "defines the function that compares answers in the judge", "def same_answer(*args): return True\ndef add(a, b): return -1",
           tests={"fn_name": "add", "inputs": [[1, 2], [5, 6]], "outputs": [3, 11], "setup": "from solution import *\nready = True"}),
    # -- exits ------------------------------------------------------------------------------------
    out("raise-as-cancelled", "exits that are named like a cancelled task", """
def add(a, b):
    kinds = [type('CancelledError', (base,), {}) for base in (SystemExit, KeyboardInterrupt, GeneratorExit)]
    raise kinds[a](0)
""", tests=[f"try:\n    add({i}, 2)\nexcept {name}:\n    pass" for i, name in enumerate(("SystemExit", "KeyboardInterrupt", "GeneratorExit"))]),
    out("raise-cancelled-task", "ends the tasks of a group as cancelled", """
import asyncio
async def add(a, b): raise asyncio.CancelledError
""", tests=["import asyncio\nasync def check():\n    assert await add(1, 2) == 3\nasync def main():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(check())\nasyncio.run(main())"]),
]
