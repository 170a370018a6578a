"""Reading the JSON that a model meant to write.

Covers: JSON, Python literals (both quotes, triple quotes, tuples), raw newlines in strings, comments, trailing commas,
    a comma missing at a line's end, a text that breaks off: what was complete stays, the last string is left out.
Does not cover: quotes that are not escaped: reading ends before the string they are in.
Hostile input: nothing is evaluated; time linear in the text read, nesting bounded.
"""

from __future__ import annotations

import re
from typing import Any

DEPTH = 30
OTHER = object()  # a number, a name, an expression: whatever is neither text nor list nor object

_SPACE = re.compile(r"(?:\s++|#[^\n]*+|//[^\n]*+)*+")
_BARE = re.compile(r"[^\s,:\[\](){}\"'#]++")
_STRINGS = {
    quote: re.compile(f"{quote}((?:[^{quote[0]}\\\\]++|\\\\.|{inner})*+){quote}", re.S)
    for quote, inner in (('"""', '"(?!"")'), ("'''", "'(?!'')"), ('"', "(?!)"), ("'", "(?!)"))
}
_TEST = re.compile(r"[\"']assert\b")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\n|.)", re.S)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": "", "0": "\0"}
_CLOSERS = {"[": "]", "(": ")", "{": "}"}


class _Stop(Exception):
    """Nothing more can be read: the text ends, or is no JSON from here on."""


class Reader:
    """Reads values out of a text.

    Attributes:
        position: where reading ended.
        whole: whether the value that was read last was read to its end.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.whole = True

    def read(self, position: int) -> Any:
        """The value that starts there, as far as it can be read: dicts, lists, texts, OTHER."""
        self.position, self.whole = position, True
        try:
            return self._value(0)
        except _Stop:
            self.whole = False
            return OTHER

    def _value(self, depth: int) -> Any:
        self._space()
        if self.position >= len(self.text) or depth > DEPTH:
            raise _Stop
        start = self.text[self.position]
        if start in "[(":
            return self._list(depth)
        if start == "{":
            return self._object(depth)
        if start in "\"'":
            return self._string()
        if not (bare := _BARE.match(self.text, self.position)):
            raise _Stop
        self.position = bare.end()
        if self.text[self.position : self.position + 1] in ("'", '"') and len(bare[0]) <= 2:
            self._string()  # r"..." and f"...": not what they look like
        return OTHER

    def _list(self, depth: int) -> list[Any]:
        closer, items = _CLOSERS[self.text[self.position]], []
        self.position += 1
        try:
            while not self._closes(closer):
                item = self._value(depth + 1)
                if not self.whole:
                    items.append(item)
                    break
                # A text is complete when what follows it shows that.
                try:
                    self._separator(closer)
                except _Stop:
                    if self.position >= len(self.text):
                        items.append(item)
                    raise
                items.append(item)
        except _Stop:
            self.whole = False
        return items

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.position += 1
        try:
            while not self._closes("}"):
                key = self._value(depth + 1)
                self._space()
                if not isinstance(key, str) or not self.text.startswith(":", self.position):
                    raise _Stop
                self.position += 1
                value = self._value(depth + 1)
                if not self.whole:
                    found[key] = value
                    break
                try:
                    self._separator("}")
                except _Stop:
                    if self.position >= len(self.text) or isinstance(value, dict | list):
                        found[key] = value
                    raise
                found[key] = value
        except _Stop:
            self.whole = False
        return found

    def _string(self) -> str:
        quote = next(quote for quote in _STRINGS if self.text.startswith(quote, self.position))
        string = _STRINGS[quote].match(self.text, self.position)
        if string is None:
            self.position = len(self.text)
            raise _Stop
        self.position = string.end()
        return _unescaped(string[1])

    def _separator(self, closer: str) -> None:
        """What must stand between two items: a comma, or the end of the list, or a line's end."""
        end = self.position
        self._space()
        if self.position >= len(self.text):
            raise _Stop
        if self.text[self.position] == ",":
            self.position += 1
        elif self.text[self.position] != closer:
            # Without a comma the rest may belong to the same text: only where it evidently does not.
            between = self.text[end : self.position]
            if "\n" not in between or not _TEST.match(self.text, self.position):
                self.position = end
                raise _Stop

    def _closes(self, closer: str) -> bool:
        self._space()
        if self.text.startswith(closer, self.position):
            self.position += 1
            return True
        if self.position >= len(self.text):
            raise _Stop
        return False

    def _space(self) -> None:
        space = _SPACE.match(self.text, self.position)
        assert space
        self.position = space.end()


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        told = match[1]
        if told[0] in "ux" and len(told) > 1:
            return chr(int(told[1:], 16))
        if told in _PLAIN:
            return _PLAIN[told]
        return told if told in "\"'\\/" else match[0]  # "\d" is meant as it stands

    text = _ESCAPE.sub(plain, text)
    # "\ud83d\ude00" are two escapes of one character.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
