"""What EvalPlus calls a right answer; a problem's test setup holds this file's text and runs in the judge's process.

Covers: equality, tolerance for floats, the problems that EvalPlus judges by rules of their own. The expected value is
    what the reference program gives, computed here, apart from the program under test.
Does not cover: the inputs (plus.py).
Source: evalplus 0.3.1, eval/__init__.py and eval/_special_oracle.py: the meaning, with its quirks; not its text.
"""

import copy
import math

RELATIVE = 1e-7
SAME_SET = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip
NOT_NONE = {"check_str", "text_match_three", "text_starta_endb"}  # their outputs are match objects


class Cases:
    """The cases of one problem."""

    def __init__(self, dataset, name, reference, inputs, atol):
        """`reference`: the text of a right program that defines `name`; `inputs`: a list of argument lists."""
        self.dataset, self.name, self.inputs, self.atol = dataset, name, inputs, atol
        namespace = {"__name__": "reference"}
        exec(compile(reference, "<reference>", "exec"), namespace)
        self.reference = namespace[name]

    def check(self, function, index):
        """Raises AssertionError, or what the program raised, unless the case passes."""
        # The reference gets its own copy: the program may change what it is given.
        expected = self.reference(*copy.deepcopy(self.inputs[index]))
        if self.dataset == "mbpp" and self.name in NOT_NONE:
            expected = expected is not None
        args = self.inputs[index]
        out = function(*args)
        if self.dataset == "humaneval" and self.name == "find_zero":
            value = sum(c * math.pow(out, power) for power, c in enumerate(args[0]))
            assert abs(value) <= self.atol, f"the polynomial is {value!r} there"
            return
        exact = out == expected
        if self.dataset == "mbpp":
            exact = self.special(exact, out, expected, args)
        if self.atol == 0 and is_floats(expected):
            self.atol = 1e-6  # and so for all later cases: EvalPlus does that
        if exact or self.atol == 0:
            assert exact, f"gave {brief(out)}, not {brief(expected)}"
            return
        assert type(out) is type(expected), f"gave a {type(out).__name__}, not a {type(expected).__name__}"
        if isinstance(expected, (list, tuple)):
            assert len(out) == len(expected), f"gave {len(out)} values, not {len(expected)}"
        assert all_close(out, expected, self.atol), f"gave {brief(out)}, not {brief(expected)}"

    def special(self, exact, out, expected, args):
        """MBPP's problems that have several right answers."""
        if self.name == "are_equivalent":
            return True
        if self.name == "sum_div":
            return exact or out == 0
        if self.name == "surface_Area":
            return exact or abs(out - pyramid(*args)) <= self.atol
        if self.name == "digit_distance_nums":
            return exact or out == digit_distance(*args)
        if self.name in SAME_SET:
            return set(out) == set(expected)
        if self.name in NOT_NONE:
            return out == expected if isinstance(out, bool) else expected == (out is not None)
        return exact


def pyramid(edge, height):
    """A square pyramid's surface, the height taken from the base to the apex."""
    return round(edge**2 + 2 * edge * math.sqrt((edge / 2) ** 2 + height**2))


def digit_distance(first, second):
    """The sum of the differences of the digits, the shorter number filled with zeros."""
    first, second = str(first), str(second)
    width = max(len(first), len(second))
    return sum(abs(int(a) - int(b)) for a, b in zip(first.zfill(width), second.zfill(width)))  # noqa: B905


def is_floats(value):
    """A float, or a list or tuple of nothing else."""
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(each, float) for each in value)
    return isinstance(value, float)


def all_close(out, expected, atol):
    """As numpy.allclose has it, of which this is what matters here: what no array can be made of is not close."""
    shapes = shape(out), shape(expected)
    if None in shapes:
        return False
    out, expected = (nested(each, max(map(len, shapes)) - len(own)) for each, own in zip((out, expected), shapes))  # noqa: B905
    return near(out, expected, atol)


def nested(value, times):
    """In so many lists: numpy has the last axes of two arrays face each other."""
    return value if times == 0 else [nested(value, times - 1)]


def shape(value):
    """Of the array that numpy would make; None if it cannot, or not of numbers."""
    if isinstance(value, (list, tuple)):
        inner = [shape(each) for each in value]
        # In an array, unlike by itself, an integer of more than 64 bits is an object and no number.
        huge = any(isinstance(each, int) and abs(each) >= 2**63 for each in value)
        if huge or any(each is None or each != inner[0] for each in inner):
            return None
        return (len(value), *(inner[0] if inner else ()))
    return () if isinstance(value, (int, float, complex)) else None


def near(a, b, atol):
    """Each number of `a` near that of `b`, as deep; one value against several is compared with each of them."""
    if not isinstance(a, (list, tuple)):
        return a == b or (math.isfinite(abs(b)) and abs(a - b) <= atol + RELATIVE * abs(b))
    left, right = list(a), list(b)
    if len(left) != len(right):
        if 1 not in (len(left), len(right)):
            return False
        left, right = left * max(len(right), 1), right * max(len(left), 1)
    return all(near(x, y, atol) for x, y in zip(left, right))  # noqa: B905


def brief(value):
    """For a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
