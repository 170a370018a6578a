"""YAML as recipes are written in it: version 1.2's plain rules.

Covers: `1e-6` is a number; `yes`, `off`, `1:30` and dates are texts; keys given twice are errors; where each
    value stands; the same rules for writing.
Does not cover: what the values mean (load.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

Path = tuple[str | int, ...]

_RULES = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
    ("merge", r"<<", ("<",)),
)


class YamlError(ValueError):
    """A text is not the YAML of a recipe: (line, message) pairs."""

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(message for _, message in mistakes))


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's way)
    yaml_constructors = {  # noqa: RUF012
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }


class _Dumper(yaml.SafeDumper):
    pass


for _name, _pattern, _first in _RULES:
    # `int` before `float`: the first rule that matches wins. The dumper keeps those of YAML 1.1, too: it
    # quotes a text that a reader of either would misread.
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), list(_first))


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return _number(node, lambda: int(text, 0) if text[:2] in ("0o", "0x") else int(text))


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower()
    return _number(node, lambda: float(text.replace(".inf", "inf").replace(".nan", "nan")))


def _number(node: yaml.ScalarNode, convert: Callable[[], Any]) -> Any:
    try:
        return convert()
    except ValueError:  # a tag says that it is one: !!int x
        raise yaml.constructor.ConstructorError(None, None, f"{node.value!r} is no number", node.start_mark) from None


def _str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What YAML takes for an end of a line is escaped, but for plain newlines.
    style = '"' if re.search("[\r\x85\u2028\u2029]", text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Dumper.add_representer(str, _str)


def read(text: str) -> tuple[Any, dict[Path, int]]:
    """A YAML text's value, and the line of each key and list item.

    Raises:
        YamlError: it is not valid YAML, or gives a key twice.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines: dict[Path, int] = {}
        wrong: list[tuple[int, str]] = []
        _walk(node, (), lines, wrong)
        if wrong:
            raise YamlError(wrong)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise YamlError([(line, f"not valid YAML: {error.problem or error.context}")]) from error
    except yaml.YAMLError as error:
        raise YamlError([(1, f"not valid YAML: {' '.join(str(error).split())}")]) from error
    except RecursionError:
        raise YamlError([(1, "not valid YAML for us: nested too deeply")]) from None


def write(value: Any) -> str:
    """The YAML text of plain data, in its order; `read` gives the same back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _walk(
    node: yaml.Node,
    path: Path,
    lines: dict[Path, int],
    wrong: list[tuple[int, str]],
    above: tuple[int, ...] = (),
) -> None:
    if id(node) in above:
        wrong.append((node.start_mark.line + 1, f"{_dotted(path)} contains itself: write it out"))
        return
    if isinstance(node, yaml.SequenceNode):
        children = [(index, item, item) for index, item in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        children = [(key.value, key, item) for key, item in node.value if key.value != "<<"]
    else:
        return
    for name, mark, item in children:
        if not isinstance(name, str | int):
            continue  # a list or a mapping as a key: PyYAML refuses it
        where, line = (*path, name), mark.start_mark.line + 1
        if where in lines and isinstance(node, yaml.MappingNode):
            wrong.append((line, f"{_dotted(where)} is given twice (line {lines[where]} too): keep one"))
            continue
        lines[where] = line
        _walk(item, where, lines, wrong, (*above, id(node)))


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
