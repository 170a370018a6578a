"""Inputs for the starter problems: a letter names a kind of argument, a seeded generator makes one of it.

Covers: numbers, strings, lists, dictionaries, tuples, with the edge cases of their kind.
Does not cover: what a function does with them (train_problems.py, eval_problems.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

TEXT = """
apple banana cat dog egg fish garden house island juice kite lemon moon night orange pencil queen river sun
tree under violin water yellow zebra art bus cars class glass nail oats salad tea
"""
WORDS = TEXT.split()
LETTERS = "abcdeilnorstu"


def arguments(kinds: str, rng: random.Random) -> tuple[Any, ...]:
    """One tuple of arguments for a table's last column.

    "B", "C" and "D" stand for two arguments that belong together. "v~18" is kind "v", but half the time
    within 1 of 18, where answers that are off by one show.
    """
    made: list[Any] = []
    for kind in kinds.split():
        if kind == "B":
            size = rng.randint(1, 5)
            made += [[rng.randint(-9, 20) for _ in range(size)] for _ in range(2)]
        elif kind == "C":
            numbers = _numbers(rng, 1)
            made += [numbers, rng.choice([rng.choice(numbers), rng.randint(-20, 50)])]
        elif kind == "D":
            mapping = _dict(rng)
            made += [mapping, rng.choice(list(mapping))]
        else:
            kind, _, edges = kind.partition("~")
            value = KINDS[kind](rng)
            if edges and rng.random() < 0.5:
                value = int(rng.choice(edges.split(","))) + rng.randint(-1, 1)
            made.append(value)
    return tuple(made)


def _word(rng: random.Random) -> str:
    return rng.choice(WORDS)


def _numbers(rng: random.Random, least: int, low: int = -20, high: int = 50) -> list[int]:
    size = rng.randint(least, 6)
    return [0 if low < 0 and rng.random() < 0.1 else rng.randint(low, high) for _ in range(size)]


def _words(rng: random.Random) -> list[str]:
    return [_word(rng) for _ in range(rng.randint(1, 5))]


def _dict(rng: random.Random) -> dict[str, int]:
    return {c: rng.randint(-5, 30) for c in rng.sample(LETTERS, rng.randint(1, 4))}


def _palindrome(rng: random.Random) -> str:
    word = _word(rng)
    return word + word[-2::-1] if rng.random() < 0.5 else word


def _ends_alike(rng: random.Random) -> list[int]:
    numbers = _numbers(rng, 2, 0, 9)
    return [*numbers, numbers[0]] if rng.random() < 0.5 else numbers


def _cased(rng: random.Random) -> str:
    word = _word(rng)
    return rng.choice([word.upper(), word, word.capitalize()])


def _mixed(rng: random.Random) -> list[Any]:
    return [rng.choice([_word(rng), rng.randint(0, 9)]) for _ in range(rng.randint(0, 5))]


def _odd_word(rng: random.Random) -> str:
    word = _word(rng)
    return word if len(word) % 2 else word[1:]


KINDS: dict[str, Callable[[random.Random], Any]] = {
    # numbers
    "i": lambda r: r.randint(-30, 60),  # any
    "n": lambda r: r.randint(0, 12),  # small, from 0
    "p": lambda r: r.randint(1, 20),  # positive
    "q": lambda r: r.randint(1, 5),  # often a divisor
    "k": lambda r: r.randint(0, 6),  # tiny, often equal to another
    "k2": lambda r: r.randint(-4, 10),
    "i3": lambda r: 3 * r.randint(-10, 20),  # sums and averages of them are exact
    "g": lambda r: r.randint(0, 3),  # as in the lists of kind G
    "m": lambda r: r.choice([r.randint(1, 99), r.randint(100, 2000)]),  # of several sizes
    "t": lambda r: r.choice(
        [r.randint(-20, 100), 5 * r.randint(-4, 20), 10 * r.randint(-2, 10)]
    ),  # often a multiple of 5 or 10
    "v": lambda r: r.randint(0, 90),  # an age, a score
    "y": lambda r: r.choice([-1, 1]) * r.randint(1, 20),  # not 0
    "H": lambda r: r.randint(1, 2),
    "Q": lambda r: r.choice([30, 45, 60, 90]),
    "R": lambda r: r.choice([1900, 2000, 2100, r.randint(1950, 2050), 4 * r.randint(480, 510)]),
    "X": lambda r: r.randint(0, 23),
    "b": lambda r: r.random() < 0.5,
    # strings
    "s": _word,
    "e": lambda r: r.choice(["", _word(r), _word(r)]),  # also empty
    "S": lambda r: " ".join(_words(r)),
    "J": lambda r: ",".join(_words(r)),
    "c": lambda r: r.choice(LETTERS),
    "j": lambda r: chr(r.randint(ord("b"), ord("y"))),
    "o": _odd_word,
    "r": lambda r: " " * r.randint(0, 3) + _word(r) + " " * r.randint(0, 3),
    "u": _cased,
    "x": lambda r: r.choice(["cat", "cats", "car", "art", "tea", "team", "seat"]),
    "y2": lambda r: r.choice(["c", "ca", "t", "te", "s", "at", "ts"]),
    "z": lambda r: r.choice([str(r.randint(0, 999)), _word(r), _word(r) + str(r.randint(0, 9))]),
    "A": lambda r: r.choice(["apple", "banana", "salad", "oats", "art", "tree", "night", "cat", "class"]),
    "E": lambda r: f"{_word(r)}@{_word(r)}.com",
    "I": lambda r: str(r.randint(-99, 999)),
    "P": _palindrome,
    "Z": lambda r: r.choice(["cars", "class", "glass", "oats", "bus", "tree", "salad", "sun"]),
    "w2": lambda r: r.choice(["Saturday", "Sunday", "Monday", "Tuesday", "Wednesday", "Friday"]),
    # lists
    "l": lambda r: _numbers(r, 0),
    "L": lambda r: _numbers(r, 1),
    "T": lambda r: _numbers(r, 3),
    "K": lambda r: _numbers(r, 1, 1, 6),
    "G": lambda r: _numbers(r, 0, 0, 3),
    "F": _ends_alike,
    "h": lambda r: r.choice([[], _numbers(r, 1)]),
    "O": lambda r: r.choice([sorted, list])(_numbers(r, 1)),
    "Y": lambda r: [abs(n) + 1 if r.random() < 0.7 else n for n in _numbers(r, 1)],
    "N": lambda r: [_numbers(r, 0, 0, 9) for _ in range(r.randint(0, 3))],
    "W": _words,
    "U": lambda r: [_cased(r) for _ in range(r.randint(1, 4))],
    "M": _mixed,
    # others
    "d": _dict,
    "p2": lambda r: (r.randint(-9, 9), r.randint(10, 30)),
}
