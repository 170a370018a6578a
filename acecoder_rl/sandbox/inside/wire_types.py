"""What the wire's two halves share: the types that cross, tags, and descriptions of the rest.

Covers: names of builtin types and functions, `describe` (an object seen without running its code),
snapshots of containers for changes made in place.
Does not cover: bytes (wire_encode.py, wire.py).
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import struct
import sys
import types

MAX_BYTES = 16 << 20
MAX_DEPTH = 200
MESSAGE_CHARS = 500
NAMES = 64
MAX_FRACTION_BITS = 1 << 17  # its gcd is quadratic

# Python 3.9 has no list of its library; these raise exceptions of their own most often.
STDLIB = frozenset(getattr(sys, "stdlib_module_names", ("asyncio", "dataclasses", "decimal", "json", "re")))
# Their exceptions steer what runs tests: unittest takes a test that raises its _ShouldStop for passed.
STDLIB -= {"unittest", "doctest", "bdb", "pdb"}

U32 = struct.Struct("<I")
I64 = struct.Struct("<q")
F64 = struct.Struct("<d")

# Read classes past anything a metaclass overrides.
mro = type.__dict__["__mro__"].__get__
_name = type.__dict__["__name__"].__get__
_vars = type.__dict__["__dict__"].__get__


class WireError(ValueError):
    """The bytes are not a message of ours, or a value is too large or too deep to send."""


class Opaque:
    """Stands for an object that cannot cross: equal to itself only, no other operation."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __repr__(self) -> str:
        return f"<{self.type_name} object of the program>"

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} has no truth value here")


class OpaqueArray(Opaque):
    """A numpy array or scalar where numpy is not installed: unequal to everything else."""

    def __init__(self, type_name: str, size: int) -> None:
        super().__init__(type_name)
        self.size = size

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError("the truth value of an array with more than one element is ambiguous")
        return True


class Info:
    """What a sender says of an object behind a handle; all of it is the sender's claim.

    Attributes:
        kind: c class, x exception class, f function, m module, e exception, i other instance.
        can: what its type defines: c call, l len, t iter, n next, w await (function: async), a async iter,
            b bool; F a Python function, G a generator, C a coroutine, A an async generator.
        names: class names along its MRO (a class: its own), nearest first; of a function its name.
        overrides: for an instance of a subclass of a plain type, the names its classes define over the
            base; for a function of plain parameters only, "def" and their names.
    """

    __slots__ = ("can", "kind", "names", "overrides")

    def __init__(self, kind: str, can: str, names: list, overrides: tuple = ()) -> None:
        self.kind, self.can, self.names, self.overrides = kind, can, names, overrides


class RemoteError:
    """A decoded exception: class names along its MRO, message, args, what `resolve` made of its class
    and of itself (None for builtin exceptions)."""

    __slots__ = ("args", "cls", "message", "names", "value")

    def __init__(self, names: list, message: str, args: tuple, cls: object, value: object) -> None:
        self.names, self.message, self.args, self.cls, self.value = names, message, args, cls, value


def is_subclass(cls: type, base: type) -> bool:
    return any(c is base for c in mro(cls))


def class_names(cls: type) -> list:
    return [_name(c)[:100] for c in mro(cls)[:NAMES] if c is not object]


_ABILITIES = (("c", "__call__"), ("l", "__len__"), ("t", "__iter__"), ("n", "__next__"), ("w", "__await__"),
              ("a", "__aiter__"), ("b", "__bool__"))  # fmt: skip
KINDS = {"F": types.FunctionType, "G": types.GeneratorType, "C": types.CoroutineType,
         "A": types.AsyncGeneratorType}  # fmt: skip
_METHODS = (types.FunctionType, staticmethod, classmethod)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def describe(obj: object) -> Info:
    """The Info of an object, found without running any of its code."""
    cls = type(obj)
    if is_subclass(cls, type):
        return Info("x" if is_subclass(obj, BaseException) else "c", _abilities(cls), class_names(obj))
    if any(cls is function for function in _FUNCTIONS):
        code = obj.__code__ if cls is types.FunctionType else None
        name = getattr(obj, "__name__", "")
        names = [name[:100] if type(name) is str else "function"]
        plain = code is not None and not (code.co_flags & 0xC or code.co_kwonlyargcount or obj.__defaults__)
        parameters = ("def", *code.co_varnames[: code.co_argcount]) if plain else ()
        can = "c" if code is None else "cFw" if code.co_flags & 0x80 else "cF"
        return Info("f", can, names, parameters)
    kind = "m" if is_subclass(cls, types.ModuleType) else "e" if is_subclass(cls, BaseException) else "i"
    return Info(kind, _abilities(cls), class_names(cls))


def _abilities(cls: type) -> str:
    spaces = [_vars(c) for c in mro(cls)]
    can = "".join(letter for letter, name in _ABILITIES if any(name in space for space in spaces))
    return can + "".join(letter for letter, kind in KINDS.items() if cls is kind)


def overrides(cls: type, base: type) -> tuple:
    """Names that classes between `cls` and its plain `base` define; methods end in "()"."""
    found = {}
    for c in mro(cls):
        if c is base:
            break
        for name, value in _vars(c).items():
            if type(name) is str and len(name) <= 100:
                found.setdefault(name, name + "()" if type(value) in _METHODS else name)
    return tuple(found.values())[:200]


# Values cross as the nearest of these in their MRO, read through it.
PLAIN = (
    int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset,
    collections.Counter, collections.defaultdict, collections.OrderedDict, collections.deque,
    decimal.Decimal, fractions.Fraction, datetime.datetime, datetime.date, datetime.time,
    datetime.timedelta,
)  # fmt: skip
MUTABLE = (bytearray, list, dict, set, collections.Counter, collections.defaultdict,
           collections.OrderedDict, collections.deque)  # fmt: skip


def stdlib_exception(cls: type) -> str:
    """The path module:name of an exception class of the standard library, or ""."""
    space = _vars(cls)
    module, name = space.get("__module__"), _name(cls)
    if type(module) is not str or module.partition(".")[0] not in STDLIB:
        return ""
    path = f"{module}:{name}"
    return path if find_exception(path) is cls else ""


def find_exception(path: str) -> object:
    """The exception class behind such a path, where its module is loaded; else None."""
    module, _, name = path.partition(":")
    space = vars(sys.modules[module]) if module.partition(".")[0] in STDLIB and module in sys.modules else {}
    cls = space.get(name)
    return cls if type(cls) is type and issubclass(cls, BaseException) else None


def plain_base(cls: type) -> object:
    """The nearest plain class in `cls`'s MRO, or None."""
    for c in mro(cls):
        for plain in PLAIN:
            if c is plain:
                return plain
    return None


TYPES = {name: value for name, value in vars(builtins).items() if type(value) is type and name[0] != "_"}
TYPES.update((cls.__module__ + "." + cls.__name__, cls) for cls in PLAIN[11:])
TYPES.update((cls.__name__, cls) for cls in (*_FUNCTIONS, types.GeneratorType, types.ModuleType))
TYPES.update({"NoneType": type(None), "ellipsis": type(...), "NotImplementedType": type(NotImplemented)})
# Functions that only compute: a name such as eval or open would act in the receiver instead.
FUNCTIONS = {
    name: getattr(builtins, name)
    for name in (
        "abs",
        "all",
        "any",
        "ascii",
        "bin",
        "callable",
        "chr",
        "divmod",
        "format",
        "hash",
        "hex",
        "len",
        "max",
        "min",
        "oct",
        "ord",
        "pow",
        "repr",
        "round",
        "sorted",
        "sum",
    )
}
EXCEPTIONS = {name: cls for name, cls in TYPES.items() if issubclass(cls, BaseException)}
TYPE_NAMES = {id(value): name for name, value in TYPES.items()}
FUNCTION_NAMES = {id(value): name for name, value in FUNCTIONS.items()}


def snapshot(obj: object) -> object:
    """A container's contents as an exact list, dict, set or bytearray, read through its plain base."""
    base = plain_base(type(obj))
    if base in (list, collections.deque):
        return list(base.__iter__(obj))
    if base is set:
        return set(set.__iter__(obj))
    if base is bytearray:
        return bytearray.__getitem__(obj, slice(None))
    return dict(base.items(obj))


def restore(obj: object, contents: object) -> None:
    """Give a container the contents of a snapshot, in place, through its plain base."""
    base = plain_base(type(obj))
    wanted = {list: list, collections.deque: list, set: set, bytearray: bytearray}.get(base, dict)
    if base not in MUTABLE or type(contents) is not wanted:
        raise WireError(f"contents of the wrong kind for a {type(obj).__name__}")
    if base in (list, bytearray):
        base.__setitem__(obj, slice(None), contents)
        return
    base.clear(obj)
    if base is set:
        set.update(obj, contents)
    elif base is collections.deque:
        base.extend(obj, contents)
    else:
        for key, value in contents.items():
            base.__setitem__(obj, key, value)
