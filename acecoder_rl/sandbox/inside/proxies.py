"""The judge's half of the connection to a candidate process.

Covers: `Judge` (the connection; what the program may do with the tests' own objects), `CandidateDied`,
`CandidateExit`.
Does not cover: handles on the program's objects (handles.py), running tests (judge.py).
Hostile input: the program may call what a test passed to it and use objects of the tests' own classes by
their public names, and nothing else of this process.
"""

from __future__ import annotations

import asyncio
import collections
import copy
import pathlib
import threading
import types
import weakref
from typing import Any

from acecoder_rl.sandbox.inside.abilities import handle_type
from acecoder_rl.sandbox.inside.handles import is_handle
from acecoder_rl.sandbox.inside.mirrors import to_exception
from acecoder_rl.sandbox.inside.peer import Peer
from acecoder_rl.sandbox.inside.predicates import vet_method
from acecoder_rl.sandbox.inside.rpc import ARITHMETIC, COMPARE, CONVERT, UNARY, function
from acecoder_rl.sandbox.inside.vacuous import guarded, type_told
from acecoder_rl.sandbox.inside.wire import Decoder, Info, RemoteError
from acecoder_rl.sandbox.inside.wire_types import MAX_BYTES, TYPES, mro

_FUNCTIONS = {name: function(name) for name in COMPARE + ARITHMETIC + UNARY}


class CandidateDied(BaseException):
    """The program's process ended or broke the protocol; no test can go on."""


class CandidateExit(Exception):
    """The program raised SystemExit, KeyboardInterrupt or the like: an error of the test."""


class Judge(Peer):
    """The judge's side.

    Attributes:
        mentioned: names that the tests use; of exception classes, those that make a claim.
        named: of these, the names of classes whose operators may see the judge's values.
        modules: `__module__` of classes that the tests define; the program may use their objects.
        entry_point: the name of the function, or of the method of `Solution`, under test.
        claimed: set when a result rests on the program's own word; reset it for each test, to `aliased`.
        aliased: whether a name of the tests' is, by the program's word, a builtin class of another name: it may
            be one that catches failed asserts.
        dead: why the connection ended, "" while it lasts.
    """

    shows = True

    def __init__(
        self,
        sock: Any,
        mentioned: Any = (),
        named: Any = (),
        modules: Any = (),
        max_bytes: int = MAX_BYTES,
        entry_point: str | None = None,
    ) -> None:
        super().__init__(sock, max_bytes)
        self.entry_point = entry_point
        self.mentioned = frozenset(mentioned)
        self.named = frozenset(named)
        self.modules = frozenset(modules)
        self.claimed = self.aliased = False
        self.dead = ""
        self.asked = 0  # requests
        self.taken: set[type] = set()
        # A test's lambda may call what the program hands it: `type` would make classes here.
        self.given = {**TYPES, "type": self.type_of}
        self.handles: Any = weakref.WeakValueDictionary()

    def stand_in(self, ident: int, info: Info) -> Any:
        handle = self.handles.get(ident)
        if handle is None:
            handle = handle_type(info)()
            state = {"id": ident, "peer": self, "names": frozenset(info.names), "label": info.names[0], "sent": 0,
                     "taken": 0, "told": (-1, None, False), "count": None, "ahead": collections.deque()}  # fmt: skip
            for name, value in state.items():
                object.__setattr__(handle, "_wire_" + name, value)
            self.handles[ident] = handle
        object.__setattr__(handle, "_wire_sent", handle._wire_sent + 1)
        return handle

    def decoder(self, frame: bytes, known: Any) -> Decoder:
        dec = super().decoder(frame, known)
        dec.guarded_array = guarded
        if frame[:1] == b"Q" or self.nesting:
            dec.types = self.given
        return dec

    def is_named(self, names: Any) -> bool:
        return not self.named.isdisjoint(names)

    def vet(self, names: Any, name: str, value: Any) -> Any:
        if callable(value):
            methods = "Solution" in names and "Solution" in self.mentioned
            vet_method(self, name, methods or name == self.entry_point or self.is_named(names))
        return value

    def foreign(self, obj: Any) -> int | None:
        return obj._wire_id if is_handle(obj) else super().foreign(obj)

    def lost(self, reason: str) -> Any:
        self.dead = self.dead or reason
        raise CandidateDied(reason)

    def fatal(self, exc: BaseException) -> bool:
        return isinstance(exc, CandidateDied)

    def to_exception(self, error: RemoteError) -> BaseException:
        exc = to_exception(self, error)
        # One that the tests do not speak of would end their own tasks in silence.
        cancelled = type(exc) is asyncio.CancelledError and "CancelledError" in self.mentioned
        if not isinstance(exc, Exception) and not cancelled:
            exc = CandidateExit(": ".join([*error.names[:1], error.message])[:500])
        exc.__dict__["_from_candidate"] = True
        if any(cls in self.taken for cls in mro(type(exc))):
            self.claimed = True
        return exc

    def request(self, op: str, *args: Any) -> Any:
        self.asked += 1
        try:
            return super().request(op, *args)
        except StopIteration as stop:  # the end of an iterator comes as a value
            if "StopIteration" in self.mentioned:
                raise
            # It would end the test's own loop early: `all(map(lambda case: f(case)[0] == ..., cases))` is
            # then true. Generators turn it into this as well.
            error = RuntimeError("the program raised StopIteration")
            error.__dict__["_from_candidate"] = True
            raise error from stop

    def fetch(self, name: str) -> Any:
        """A global of the program."""
        return self.take(name, self.request("global", name))

    def take(self, name: str, value: Any) -> Any:
        """Note a class that a test has from the program by `name`: what it catches is a claim, now or, when
        the setup imported it, where it is raised. So is what a builtin class of another name says."""
        for cls in value if type(value) is tuple else (value,):
            if not isinstance(cls, type) or not {name, cls.__name__} & self.mentioned:
                continue
            if id(cls) in self.foreign_ids:
                self.taken.add(cls)
                self.claimed = True
            elif cls.__name__ != name:
                self.claimed = self.aliased = True
        return value

    def type_of(self, obj: Any) -> Any:
        """`type(obj)`; of the program's objects, their class there. Never a type of plain data."""
        kind = type_told(type(obj))
        if self.foreign(obj) is None or issubclass(kind, (BaseException, type)):
            return kind
        found = self.request("type", obj)
        return found if is_handle(found) or found in _TYPES else kind

    # What the program asks of the tests' objects.

    def perform(self, op: str, args: tuple) -> Any:
        operands = args[1:] if op == "operator" else args[:1]
        if not any(id(operand) in self.export_ids for operand in operands):
            # What the program names itself, such as `type` or `str`, would let it make classes here whose
            # methods (str.format) and relatives (types.GenericAlias) lead to frames and to `eval`.
            raise TypeError(f"{op} is only available on objects that the tests passed to the program")
        if op == "exception_parents" and isinstance(args[0], type):
            return [base for base in args[0].__bases__ if issubclass(base, BaseException)]
        if op == "call" and callable(args[0]) and not is_handle(args[0]):
            return args[0](*args[1], **args[2])
        if op == "iter":
            return iter(args[0])
        if op == "next":
            return _next(args[0])
        if op == "await":
            return _await(args[0])
        if op in ("getattr", "setattr", "method"):
            self.permit(args[0], args[1], op == "setattr")
            if op == "method":
                return getattr(args[0], args[1])(*args[2], **args[3])
            return (setattr if op == "setattr" else getattr)(*args)
        if op == "bool":
            return bool(args[0])
        target = args[1] if op == "operator" else args[0]
        if is_handle(target) and op == "operator":
            target = args[2]
        if type(target).__module__ not in self.modules:
            if op in ("str", "repr", "format"):
                return f"<{type(target).__name__} object of the tests>"
            if op == "operator" and args[0] in ("eq", "ne"):
                return (args[1] is args[2]) == (args[0] == "eq")
            raise TypeError(f"{op} is not available on {type(target).__name__} objects of the tests")
        if op == "operator":
            return _FUNCTIONS[args[0]](*args[1:])
        if op == "contains":
            return args[1] in target
        if op in ("copy", "deepcopy"):
            return getattr(copy, op)(target)
        if op in ("getitem", "setitem", "delitem"):
            return function(op)(*args)
        if op in CONVERT:
            return CONVERT[op][0](*args)
        raise TypeError(f"{op} is not available here")

    def permit(self, obj: Any, name: Any, write: bool) -> None:
        """Public attributes of objects made from the tests' own classes; never a way to frames, globals
        or the judge, and no replacing of methods, which the tests rely on."""
        cls = type(obj)
        own = cls.__module__ in self.modules
        known = cls.__module__ in _OPEN or cls is types.SimpleNamespace
        # A format string goes from any object to its globals.
        allowed = type(name) is str and name[:1] != "_" and (own or (known and not write))
        if own and type(name) is str and name in ("_fields", "_asdict", "_replace") and not write:
            allowed = issubclass(cls, tuple)
        if allowed:
            text = name in ("format", "format_map") and issubclass(cls, (str, collections.UserString))
            allowed = not text and not (name in _OF_MOCKS and cls.__module__ == "unittest.mock")
            allowed = allowed and not (issubclass(cls, pathlib.PurePath) and name not in _OF_PATHS)
        if write and allowed:
            allowed = not any(callable(vars(c).get(name)) or (isinstance(vars(c).get(name), property)
                              and vars(c)[name].fset is None) for c in mro(cls))  # fmt: skip
        if not allowed:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")


_OF_MOCKS = ("configure_mock", "attach_mock", "mock_add_spec", "reset_mock")  # they replace its asserts
# No reading and writing of files, which would be this process's: its memory is one, where there is a /proc.
_OF_PATHS = frozenset(("name", "stem", "suffix", "suffixes", "parent", "parents", "parts", "anchor", "drive", "root",
                       "joinpath", "with_name", "with_stem", "with_suffix", "relative_to", "is_relative_to",
                       "is_absolute", "match", "as_posix", "as_uri"))  # fmt: skip
_TYPES = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.GeneratorType)
# Library objects that tests hand to programs, open to reading of public attributes.
_OPEN = frozenset(("io", "_io", "unittest.mock", "random", "re", "datetime", "decimal", "fractions", "array",
                   "enum", "queue", "_queue", "collections", "pathlib"))  # fmt: skip


def _next(iterator: Any) -> tuple:
    try:
        return [next(iterator)], None, None
    except StopIteration as stop:
        return [], StopIteration(), stop.value


def _await(awaitable: Any) -> Any:
    """Run a coroutine of the tests to its end; the test's own loop is waiting for the program."""
    outcome: list = []

    async def drive() -> Any:
        return await awaitable

    def run() -> None:
        try:
            outcome.extend((True, asyncio.run(drive())))
        except BaseException as exc:
            outcome.extend((False, exc))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if outcome[0]:
        return outcome[1]
    raise outcome[1]
