"""An honest program of every kind that tests meet, and tests that it passes.

Does not cover: what rests on the program's own word (test_judge.py has those).
"""

from __future__ import annotations

from pathlib import Path


def sections(name: str) -> dict[str, str]:
    """The parts of a file of honest_sets, by the titles after ===."""
    path = Path(__file__).parent / "honest_sets" / f"{name}.txt"
    parts = path.read_text(encoding="utf-8").split("=== ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


PROGRAM = """
import asyncio, collections, dataclasses, enum, functools, json
def double(x): return x * 2
def extend(items, *more): items.extend(more); return items
def fail_late(items): items.append(9); raise ValueError("late")
def nested(a, b): a["k"].append(b); return a["k"], b
def count(n):
    for i in range(n): yield i
def naturals():
    i = 0
    while True:
        yield i
        i += 1
def raises(kind): raise {"key": KeyError("k"), "zero": ZeroDivisionError("z"), "own": MyError("m", 7)}[kind]
class MyError(ValueError):
    def __init__(self, message, code): super().__init__(message); self.code = code
def compose(*functions): return functools.reduce(lambda f, g: lambda x: g(f(x)), functions)
def order(items, key): return sorted(items, key=key)
def apply(function, *args, **kwargs): return function(*args, **kwargs)
class Stack:
    size = 0
    def __init__(self): self.items = []
    def push(self, x): self.items.append(x); return self
    def pop(self): return self.items.pop()
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __getitem__(self, i): return self.items[i]
    def __contains__(self, x): return x in self.items
class Vec:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, other): return Vec(self.x + other.x, self.y + other.y)
    def __mul__(self, k): return Vec(self.x * k, self.y * k)
    def __eq__(self, other): return isinstance(other, Vec) and (self.x, self.y) == (other.x, other.y)
    def __hash__(self): return hash((self.x, self.y))
    def __lt__(self, other): return self.x < other.x
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __repr__(self): return f"Vec({self.x}, {self.y})"
class History(list):
    def add(self, x): self.append(x); return len(self)
class LRU(collections.OrderedDict):
    def __init__(self, size): super().__init__(); self.size = size
    def get(self, key):
        if key not in self: return -1
        self.move_to_end(key)
        return self[key]
    def put(self, key, value):
        self[key] = value; self.move_to_end(key)
        if len(self) > self.size: self.popitem(last=False)
Point = collections.namedtuple("Point", "x y")
Item = dataclasses.make_dataclass("Item", [("name", str), ("price", float, 1.0)])
class Colour(enum.Enum): RED = 1; BLUE = 2
class Level(enum.IntEnum): LOW = 1; HIGH = 2
class Ctx:
    def __enter__(self): self.open = True; return self
    def __exit__(self, *args): self.open = False
async def later(x): await asyncio.sleep(0.001); return x + 1
async def ticks(n):
    for i in range(n): yield i
def words(text): return collections.Counter(text.split())
def groups(items):
    found = collections.defaultdict(list)
    for x in items: found[x % 2].append(x)
    return found
def adder(n):
    def add(x): return x + n
    return add
def parse(text): return json.loads(text)
total = 0
def bump(): global total; total += 1; return total
def sum(items): return 42
def linked(node):
    values = []
    while node: values.append(node.value); node = node.next
    return values
def reverse(node):
    last = None
    while node: node.next, last, node = last, node, node.next
    return last

Stats = collections.namedtuple("Stats", "count difference")
Totals = dataclasses.make_dataclass("Totals", ["count", "union", "startswith"])
def stats(a, b): return Stats(a, a - b)
def totals(a): return Totals(a, a, "x")
def stacked(n):
    made = Stack()
    for i in range(n): made.push(i)
    return made
def tally(text):
    class Tally(collections.Counter):
        def top(self): return max(self, key=self.get)
    return Tally(text)

import copy, inspect, random
def x_of(p): return p.x
def name_of(f): return f.__name__
def shuffled(): return random.sample(range(99), 9)
def curry(f, *given):
    if len(given) == f.__code__.co_argcount == len(inspect.signature(f).parameters): return f(*given)
    return lambda x: curry(f, *given, x)
def clone(x): return copy.deepcopy(x)

class Countdown:
    def __init__(self, n): self.n = n
    def __iter__(self): return self
    def __next__(self):
        if not self.n: raise StopIteration
        self.n -= 1
        return self.n + 1
    def __len__(self): return self.n
    def __reversed__(self): return iter(range(1, self.n + 1))
def countdown(n): return Countdown(n)
class Kind(str, enum.Enum): A = "a"; B = "b"
def level(n): return Level(n)
class Celsius(float):
    def __repr__(self): return f"Celsius({float(self)})"
class Open(dict):
    def __missing__(self, key): return key * 2
def point(*parts): return Point(*parts)
"""

SETUP = """
class Node:
    def __init__(self, value, next=None): self.value, self.next = value, next
def chain(*values):
    node = None
    for value in reversed(values): node = Node(value, node)
    return node
def picked():
    random.seed(3)
    return random.sample(range(99), 9)
"""

# Tests are separated by blank lines.
PASSING = r"""
assert double(3) == 6
assert isinstance(double(3), int)
assert type(double('a')) is str

x = [3, 1]
y = extend(x, 4)
assert y is x and x == [3, 1, 4]

x = [1]
try: fail_late(x); assert False
except ValueError as e: assert str(e) == 'late' and x == [1, 9]

a = {'k': []}
b = [1]
k, c = nested(a, b)
assert a['k'] is k and k[0] is b and c is b

r = stats(5, 3)
assert r.count == 5 and r.difference == 2 and r == (5, 2)
assert totals(4).count == totals(4).union == 4 and totals(4).startswith == 'x'

s = stacked(3)
assert len(s) == 3 and list(s) == [0, 1, 2] and s.pop() == 2 and [*s] == [0, 1] and len(s) == 2
for got, want in zip(s, [0, 1, 5]): assert got == want

t = tally('aab')
assert t == Counter('baa') and t['a'] == 2 and t.top() == 'a' and sorted(t.items()) == [('a', 2), ('b', 1)]

c = countdown(3)
assert len(c) == 3 and iter(c) is c and list(c) == [3, 2, 1] and list(c) == [] and len(c) == 0
assert [*zip(Countdown(2), 'abc')] == [(2, 'a'), (1, 'b')] and sum(countdown(4)) == 10 and next(countdown(0), 5) == 5
c = countdown(50)
for x in c:
    if x == 3: break
assert next(c) == 2 and list(reversed(Countdown(3))) == [1, 2, 3] == list(reversed(countdown(3)))

assert repr(point(1, 2)) == str(point(1, 2)) == f'{Point(1, 2)}' == 'Point(x=1, y=2)'
assert repr(Level.LOW) == '<Level.LOW: 1>' and level(1) is Level.LOW and Kind('b') is Kind.B != Kind.A and Kind.A == 'a'
assert repr(Celsius(2)) == 'Celsius(2.0)' and f'{Celsius(2):.2f}' == '2.00' and Open(a=1)['b'] == 'bb'

import numpy as np
assert np.allclose([double(2.0)], [4.0]) and np.isclose(double(1.5), 3.0) and np.allclose(list(count(0)), [])
np.testing.assert_allclose(double(2.0), 4.0)

assert list(count(300)) == list(range(300))
assert [*zip(count(2), 'ab')] == [(0, 'a'), (1, 'b')]

g = naturals()
assert next(g) == 0 and next(g) == 1 and next(iter(g)) == 2

g = naturals()
for i in g:
    if i == 40: break
assert next(g) == 41 and next(g) == 42

assert list(itertools.islice(naturals(), 50)) == list(range(50))
assert 7 in naturals()

try: raises('key'); assert False
except KeyError as e: assert e.args == ('k',)

try: raises('zero'); assert False
except ArithmeticError: pass

try: parse('{'); assert False
except json.JSONDecodeError as e: pass

assert compose(lambda x: x + 1, double)(3) == 8 and adder(2)(5) == 7

assert order(['bb', 'a'], key=len) == ['a', 'bb']
assert order([1, 3, 2], lambda v: -v) == [3, 2, 1]

assert apply(apply, double, 4) == 8
assert apply(lambda f: f(1), double) == 2
assert apply(max, 1, 2) == 2

assert curry(lambda a, b, c: a + b * c)(1)(2)(3) == 7
assert curry(lambda: 5) == 5
assert apply(lambda *a, k=1: (a, k), 2) == ((2,), 1)

def named(a, b=2): return a + b
assert name_of(named) == 'named'
assert apply(named, 1) == 3
assert apply(named, b=1, a=1) == 2

seen = []
apply(seen.append, 5)
apply(lambda x, k=0: seen.append(k), 1, k=2)
assert seen == [5, 2]

s = Stack()
s.push(1).push(2)
assert len(s) == 2 and list(s) == [1, 2] and s[0] == 1

s = Stack()
assert not s
s.push(0)
assert s and s.pop() == 0 and s.items == [] and Stack.size == 0

s = Stack()
s.tag = {'a': 1}
assert s.tag == {'a': 1} and hasattr(s, 'tag') and not hasattr(s, 'nope')

h = History()
assert h.add(5) == 1
h.append(6)
assert h.add(7) == 3 and h == [5, 6, 7] and len(h) == 3

c = LRU(2)
c.put(1, 1)
c.put(2, 2)
assert c.get(1) == 1
c.put(3, 3)
assert c.get(2) == -1 and c.size == 2

p = Point(1, y=2)
assert p == (1, 2)
assert p.x == 1
assert p._asdict() == {'x': 1, 'y': 2}
assert x_of(p) == 1

i = Item('a')
assert (i.name, i.price) == ('a', 1.0)
assert vars(i) == {'name': 'a', 'price': 1.0}

assert Colour.RED.value == 1
assert Colour(2).name == 'BLUE'
assert Colour.RED is Colour.RED

assert Level.HIGH == 2
assert Level.HIGH.name == 'HIGH'
assert sorted([Level.HIGH, Level.LOW])[0] == 1

with Ctx() as c: assert c.open is True
assert c.open is False

assert asyncio.run(later(1)) == 2

async def go(): return await asyncio.gather(*(later(i) for i in range(4)))
assert asyncio.run(go()) == [1, 2, 3, 4]

async def go(): return [i async for i in ticks(3)]
assert asyncio.run(go()) == [0, 1, 2]

assert words('a b a') == {'a': 2, 'b': 1} == Counter('aab')
assert words('a a').most_common(1) == [('a', 2)]

assert groups([1, 2, 3]) == {1: [1, 3], 0: [2]} and groups([])[7] == []

bump()
before = total
bump()
assert total == before + 1

assert linked(chain(1, 2, 3)) == [1, 2, 3]
assert linked(reverse(chain(1, 2, 3))) == [3, 2, 1]

head = chain(1, 2)
other = clone(head)
other.next.value = 5
assert head.next.value == 2 and other is not head

head = chain(1, 2)
assert reverse(head).next is head and head.next is None

assert str(Vec(1, 2)) == 'Vec(1, 2)'
assert f'{Vec(3, 4)}' == 'Vec(3, 4)'
assert abs(Vec(3, 4)) == 5.0

import copy
v = Vec(1, 2)
w = copy.deepcopy(v)
w.x = 5
assert v.x == 1 and w.x == 5

assert {double: 1}[double] == 1 and double is double

random.seed(3)
first = shuffled()
random.seed(3)
assert shuffled() == first == picked()

assert isinstance(math.pi, float) and typing.List[int] == List[int]
""".strip().split("\n\n")
