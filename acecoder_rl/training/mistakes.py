"""What is wrong with a recipe's values, in words: the field, its value, what to give instead.

Covers: pydantic's errors -> one line a mistake, with the nearest right key for a wrong one.
Does not cover: where a value stands (load.py puts the place before the line).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from acecoder_rl.training.recipe import Section

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]


def explain(error: ValidationError, kind: type[Section]) -> list[tuple[Path, str]]:
    """The mistakes of a recipe of a kind: the path of each, and its line."""
    schema = _Schema(kind)
    found = [_of(schema, item) for item in error.errors(include_url=False)]
    # A misspelt key is also a missing one: once will do.
    meant = {(*path[:-1], mend) for path, _, mend in found if mend}
    return [(path, line) for path, line, mend in found if mend or path not in meant]


def shown(value: Any) -> str:
    """A value as a message shows it: in YAML's words, not too long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 70 else f"{text[:40]}...{text[-25:]}"


def instead(name: str, known: list[str]) -> str:
    """The mend for a name that is not known."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"give one of {', '.join(known)}"


def plain_fields(kind: type[Section]) -> list[str]:
    """The fields of a kind of recipe that are a value each, no section."""
    plain = ("string", "integer", "number", "boolean")
    fields = kind.model_json_schema()["properties"]
    return [
        name
        for name, schema in fields.items()
        if any(each.get("type") in plain for each in schema.get("anyOf", [schema]))
    ]


def _of(schema: _Schema, item: ErrorDetails) -> tuple[Path, str, str | None]:
    if item["type"] == "value_error":  # a validator of ours, which has the words
        path = schema.written(tuple(item["loc"]))
        return path, f"{'.'.join(map(str, path))}: {item['ctx']['error']}", None
    return _one(schema, item["type"], tuple(item["loc"]), item["input"])


def _one(schema: _Schema, kind: str, loc: Path, value: Any) -> tuple[Path, str, str | None]:
    """The path, the line, and the name that a misspelt key stands for."""
    path = schema.written(loc)
    name = ".".join(map(str, path))
    if kind == "extra_forbidden":
        known = list(schema.at(loc[:-1]).get("properties", {}))
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        elsewhere = [field for field in schema.fields() if field.rpartition(".")[2] == path[-1]]
        mend = f"did you mean {elsewhere[0]}?" if elsewhere else instead(str(path[-1]), known)
        return path, f"{name} is not known: {mend}", near[0] if near and not elsewhere else None
    if kind == "missing":
        return path, f"{name} is missing: give {schema.give(loc)}", None
    if path[-1] == "[key]":
        return path[:-1], f"{'.'.join(map(str, path[:-1]))} is a key that is no text: put it in quotes", None
    options = schema.at(loc).get("enum", [])
    near = difflib.get_close_matches(value, options, 1) if isinstance(value, str) else []
    if near:
        return path, f"{name} is {shown(value)}: did you mean {near[0]}? It takes {schema.give(loc)}", None
    return path, f"{name} is {shown(value)}: give {schema.give(loc)}", None


class _Schema:
    """What a kind of recipe takes, by pydantic's JSON schema of it."""

    def __init__(self, kind: type[Section]) -> None:
        self._all = kind.model_json_schema()

    def fields(self) -> list[str]:
        """All fields, "section.field" each."""
        sections = self._all["properties"]
        return [f"{name}.{field}" for name in sections for field in self.at((name,)).get("properties", {})]

    def at(self, loc: Path) -> dict[str, Any]:
        """The schema of a field, by pydantic's place of it; empty where that leads nowhere."""
        schema = self._all
        for name in loc:
            schema = self._inner(schema, name)
        return schema

    def written(self, loc: Path) -> Path:
        """pydantic's place of a field without the tags that it adds where a value may be one of several sections."""
        schema, path = self._all, []
        for name in loc:
            if name not in self._kinds(schema):
                path.append(name)
            schema = self._inner(schema, name)
        return tuple(path)

    def _inner(self, schema: dict[str, Any], name: str | int) -> dict[str, Any]:
        if name in (kinds := self._kinds(schema)):
            return kinds[name]
        inner = schema.get("items") if isinstance(name, int) else schema.get("properties", {}).get(name)
        if inner is None and isinstance(rest := schema.get("additionalProperties"), dict):
            inner = rest  # keys of the user's own
        return self._resolved(inner or {})

    def _kinds(self, schema: dict[str, Any]) -> dict[str | int, dict[str, Any]]:
        """The sections that a value may be one of, by pydantic's tags: each is a field that only that one requires."""
        sections = [self._resolved(each) for each in schema.get("oneOf", ())]
        return {tag: section for section in sections for tag in section.get("required", ())}

    def give(self, loc: Path) -> str:
        """What a field takes: "a whole number of at least 1"."""
        return self._give(self.at(loc))

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        # Of a section or nothing, the section: a mistake within it is one of its fields.
        schema = next((each for each in schema.get("anyOf", ()) if "$ref" in each), schema)
        return self._all["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def _give(self, schema: dict[str, Any]) -> str:
        if "anyOf" in schema:
            value, empty = schema["anyOf"]
            return f"{self._give(self._resolved(value))}, or {empty['type']}"
        if "enum" in schema:
            return f"one of {', '.join(map(str, schema['enum']))}"
        kind = schema.get("type")
        if kind in ("integer", "number"):
            return ("a whole number" if kind == "integer" else "a number") + _range(schema)
        if kind == "object" and "properties" in schema:
            return f"the section, with at least {', '.join(schema.get('required', [])) or 'one key'}"
        return {"string": "a text", "boolean": "true or false", "array": "a list"}.get(kind, "keys and values")


def _range(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    start = f" of at least {least}" if least is not None else f" above {above}" if above is not None else ""
    end = f" of at most {most}" if most is not None else f" below {below}" if below is not None else ""
    return f"{start} and{end.replace(' of', '')}" if start and end else start + end
