"""In the judge, an empty array is not equal to what is not empty, whatever numpy and pytest say.

Covers: `(f(x) == expected).all()`, np.allclose, np.isclose, np.array_equiv, the assert functions of np.testing,
pytest.approx.
Does not cover: lists that a test makes arrays of; loops of its own (`all(... for a, b in zip(f(x), ...))`).
Hostile input: numpy stretches an array of shape (0,) or (0, 1, 1) to that of any other, compares nothing with
nothing, and all of nothing is true.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any


def compares_by(modules: set, names: set) -> list[str]:
    """The libraries by which tests may compare that import these modules, and use or bind these names."""
    found = ["numpy"] if "np" in names or any(name.partition(".")[0] == "numpy" for name in modules | names) else []
    asserts = any(name.startswith(("assert_all", "assert_almost", "assert_arr")) for name in names)
    if asserts or "numpy.testing" in modules or (found and "testing" in names):
        found.append("numpy.testing")
    return found + (["pytest"] if "approx" in names else [])


def guard_libraries(libraries: list[str]) -> None:
    """Make the comparisons of these libraries fail on an empty array and another."""
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError:  # then tests cannot use it either
            continue
        _GUARDS[library]()


def guarded(array: Any) -> Any:
    """An empty array of the program's, such that `==` and `-` with what is not empty raise ValueError."""
    return array.view(_empty_type())


@functools.cache
def _empty_type() -> type:
    import numpy

    comparing = {numpy.equal, numpy.not_equal, numpy.subtract}

    class Empty(numpy.ndarray):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            if ufunc in comparing and any(map(numpy.size, inputs)):
                raise ValueError("the program's array is empty, and what it is compared with is not")
            if "out" in kwargs:
                kwargs["out"] = tuple(map(_plain, kwargs["out"]))
            result = getattr(ufunc, method)(*map(_plain, inputs), **kwargs)
            return result.view(Empty) if type(result) is numpy.ndarray and result.size == 0 else result

        def __repr__(self) -> str:
            return repr(_plain(self))

    Empty.__name__ = Empty.__qualname__ = "ndarray"
    return Empty


def type_told(kind: type) -> type:
    """What tests are told of a type: an array of the program's is a numpy array."""
    return kind.__bases__[0] if kind.__module__ == __name__ else kind


def _plain(item: Any) -> Any:
    return item.view(type_told(type(item))) if type(item).__module__ == __name__ else item


def _guard_numpy() -> None:
    import numpy

    allclose, isclose, equiv = numpy.allclose, numpy.isclose, numpy.array_equiv

    @functools.wraps(allclose)
    def all_near(a: Any, b: Any, *args: Any, **kwargs: Any) -> bool:
        a, b = _settled(a), _settled(b)
        return not _one_is_empty(a, b) and allclose(a, b, *args, **kwargs)

    @functools.wraps(isclose)
    def near(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        a, b = _settled(a), _settled(b)
        return numpy.bool_(False) if _one_is_empty(a, b) else isclose(a, b, *args, **kwargs)

    @functools.wraps(equiv)
    def equivalent(a1: Any, a2: Any) -> bool:
        a1, a2 = _settled(a1), _settled(a2)
        return not _one_is_empty(a1, a2) and equiv(a1, a2)

    numpy.allclose, numpy.isclose, numpy.array_equiv = all_near, near, equivalent


def _guard_testing() -> None:
    utils = sys.modules.get("numpy.testing._private.utils")
    compare = getattr(utils, "assert_array_compare", None)
    if compare is None:
        return

    @functools.wraps(compare)
    def compared(comparison: Any, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        x, y = _settled(x), _settled(y)
        if _one_is_empty(x, y):
            raise AssertionError("one of the arrays is empty")
        # It looks for infinities with ==, in arrays that are both empty now, too.
        return compare(comparison, x, y, *args, **kwargs)

    utils.assert_array_compare = compared  # type: ignore[union-attr]


def _settled(value: Any) -> Any:
    """A number, or the array that numpy makes of the value: made once, since an object of the program's may show other
    items the next time, and has a `size` of its own."""
    import numpy

    kinds = (bool, int, float, complex, numpy.generic)  # no array of these: a number takes the other's precision
    return value if isinstance(value, kinds) else _plain(numpy.asanyarray(value))


def _one_is_empty(a: Any, b: Any) -> bool:
    """Of two settled values."""
    import numpy

    sizes = [value.size if isinstance(value, numpy.ndarray) else 1 for value in (a, b)]
    return (sizes[0] == 0) != (sizes[1] == 0)


def _guard_approx() -> None:
    import pytest

    module = sys.modules[type(pytest.approx(1.0)).__module__]
    for name in ("ApproxScalar", "ApproxNumpy"):
        if hasattr(module, name):
            _guard_equality(getattr(module, name))


def _guard_equality(cls: Any) -> None:
    equal = cls.__eq__

    def equals(self: Any, actual: Any) -> bool:
        return _is_empty(actual) == _is_empty(self.expected) and equal(self, actual)

    cls.__eq__ = equals


def _is_empty(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and value.size == 0


_GUARDS = {"numpy": _guard_numpy, "numpy.testing": _guard_testing, "pytest": _guard_approx}
