"""The nine public test formats, read into `Tests`.

Covers: 1 lists of asserts; 2 stdin/stdout dicts; 3 the same with `fn_name`; 4 LiveCodeBench case lists, plain
    or packed; 5 `functional` scripts; 6 HumanEval's `check`; 7 pytest files; 8 unittest files; 9 stdin case
    lists; and our own JSON (`Tests.to_json`).
Does not cover: checker programs (10: an error), the record around the tests (problems.py), the int keys that
    APPS' own evaluator gives back to dicts (JSON has none).
Hostile input: nothing is executed or unpickled; whatever does not fit raises ProblemError.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from acecoder_rl import lcb
from acecoder_rl.cases import At, Test, Tests, load_json, shown
from acecoder_rl.code_tests import parse_setup, read_asserts, read_source, read_test_file
from acecoder_rl.entry_point import infer, parse, root_name

ACCEPTED = (
    "a list of asserts, {'inputs', 'outputs', 'fn_name'?}, a list of {'input', 'output'} cases, or one of "
    "{'functional'}, {'test', 'entry_point'}, {'pytest'}, {'unittest'}, {'assert_case'}"
)
FUNCTIONAL = ("functional", "function_call")
STDIN_KEYS = ("input", "stdin")
STDOUT_KEYS = ("output", "expected_output", "expected_stdout", "stdout")
STDIN = ("stdin", "stdin_stdout")


def parse_tests(
    tests: Any, entry_point: str | None = None, setup: str = "", *, where: str = "", field: str = "tests"
) -> Tests:
    """Read tests in any of the nine formats.

    Args:
        tests: an object, its JSON, or Python text: JSON is tried first, then LiveCodeBench's packing, then
            Python, in which each top-level assert is a test (or a pytest / unittest file). `Tests` pass
            through.
        entry_point: the function or class the tests call; inferred when not given.
        setup: code to run before the tests.
        where: file and line of the record, for errors.
        field: name of the tests' field in the record, for errors.

    Raises:
        ProblemError: the tests are malformed or there are none.
    """
    at = At(where, field)
    name = root_name(entry_point, At(where, "entry_point")) if entry_point else None
    if isinstance(tests, Tests):
        if not setup and name in (None, tests.entry_point):
            return tests  # itself: it knows its digest
        return replace(tests, setup=setup or tests.setup, entry_point=name or tests.entry_point)
    try:
        found = _read(tests, entry_point, setup, at)
    except RecursionError:
        at.fail("is nested too deep: drop this problem")
    return replace(found, entry_point=name) if name else found


def _read(tests: Any, entry_point: str | None, setup: str, at: At) -> Tests:
    tests = _plain_list(tests)
    if isinstance(tests, str) and tests.strip():
        loaded = _decode(tests, at)
        if isinstance(loaded, str):
            return read_source(loaded, setup, at)
        tests = loaded
    if not tests:
        at.fail(f"is {shown(tests)}, and a program cannot pass no test: give tests or drop this problem")
    if isinstance(tests, dict):
        return _from_dict(tests, entry_point, setup, at)
    if not isinstance(tests, list):
        at.fail(f"is {shown(tests)}: give {ACCEPTED}")
    if all(isinstance(test, dict) for test in tests):
        return _cases(tests, entry_point, setup, at)
    return read_asserts(tests, setup, at)


def _decode(text: str, at: At) -> Any:
    """The object in a JSON string (also JSON in JSON, and LiveCodeBench's packing), else the text itself."""
    for _ in range(2):
        try:
            value = json.loads(text)
        except RecursionError:
            at.fail(f"is {shown(text)}, which is nested too deep: drop this problem")
        except ValueError:
            # zlib data starts with 0x78, which base64 turns into "e"; no tests in Python look like this.
            packed = re.fullmatch(r"\s*e[A-Za-z0-9+/=\s]{15,}", text[:400])
            return load_json(lcb.decode(text, at), at) if packed else text
        if not isinstance(value, str):
            return value
        text = value
    return text


def _from_dict(tests: dict[str, Any], entry_point: str | None, setup: str, at: At) -> Tests:
    tests = _present(tests)
    if tests.get("checker"):
        at["checker"].fail("holds a checker program, a format that is not supported: drop this problem")
    language = tests.get("language", "python")
    if not isinstance(language, str) or language.lower() not in ("python", "python3", "py"):
        at["language"].fail(f"is {shown(language)}, but programs are Python: drop this problem")
    for key in ("entry_point", "fn_name"):
        if tests.get(key):
            root_name(tests[key], at[key])
    name = entry_point or tests.get("entry_point") or tests.get("fn_name")
    found = _by_key(tests, name, setup, at)
    return replace(found, entry_point=root_name(name, at)) if name else found


def _by_key(tests: dict[str, Any], name: str | None, setup: str, at: At) -> Tests:
    if "setup" in tests:
        setup = _text(tests["setup"], at["setup"])
    if "assert_case" in tests:
        return read_asserts(_list(tests["assert_case"], at["assert_case"]), setup, at["assert_case"])
    for key in ("tests", "test_cases"):
        if key in tests:
            return parse_tests(tests[key], name, setup, where=at.where, field=at[key].field)
    if "inputs" in tests or "outputs" in tests:
        return _columns(tests, setup, at)
    if "input" in tests or "stdin" in tests:
        return _cases([tests], name, setup, at)
    if "functional" in tests:
        code = _text(tests["functional"], at["functional"])
        tree = parse(code, at["functional"])
        return Tests((Test("script", code=code),), setup, infer([tree], parse_setup(setup, at)))
    for key in ("test", "pytest", "unittest"):
        if key in tests:
            return read_test_file(_text(tests[key], at[key]), name, setup, at[key])
    at.fail(f"has none of the known keys, but {shown(sorted(map(str, tests)))}: give {ACCEPTED}")


def _columns(tests: dict[str, Any], setup: str, at: At) -> Tests:
    """Formats 2 and 3: inputs and outputs side by side, for stdin or for the function `fn_name`."""
    inputs, outputs = (_list(tests.get(key, []), at[key]) for key in ("inputs", "outputs"))
    if len(inputs) != len(outputs):
        at.fail(f"has {len(inputs)} inputs and {len(outputs)} outputs: give an output to each input")
    if not inputs:
        at["inputs"].fail("is empty, and a program cannot pass no test: give tests or drop this problem")
    name = tests.get("fn_name") or None
    cases = []
    for index, (given, expected) in enumerate(zip(inputs, outputs, strict=True)):
        at_input, at_output = at["inputs"][index], at["outputs"][index]
        if name:
            cases.append(_call(name, given, expected, at_input, at_output))
        else:
            cases.append(_stdio(given, expected, at_input, at_output))
    return _finish(cases, setup, name, at)


def _cases(tests: list[dict[str, Any]], entry_point: str | None, setup: str, at: At) -> Tests:
    """Formats 4 and 9, and our own: one dict a case."""
    if all("kind" in test for test in tests):
        own = tuple(Test.from_dict(test, at[index]) for index, test in enumerate(tests))
        trees = [parse(test.code, at[i]["code"]) for i, test in enumerate(own) if test.kind == "assert"]
        return Tests(own, setup, entry_point or infer(trees, parse_setup(setup, at)))
    cases = []
    for index, test in enumerate(tests):
        place = at[index]
        test = _present(test)
        source = next((key for key in STDIN_KEYS if key in test), None)
        target = next((key for key in STDOUT_KEYS if key in test), None)
        if source is None or target is None:
            place.fail(f"is {shown(test)}: give 'input' and 'output'")
        metadata = test.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name = metadata.get("func_name") or test.get("fn_name") or test.get("func_name")
        kind = test.get("testtype") or test.get("type") or (FUNCTIONAL if name else STDIN)[0]
        if kind in FUNCTIONAL:
            name = name or entry_point
            if not isinstance(name, str):
                place.fail("is functional, but names no function: give metadata.func_name or fn_name")
            root_name(name, place["func_name"])
            cases.append(_call(name, test[source], test[target], place[source], place[target]))
        elif kind in STDIN:
            cases.append(_stdio(test[source], test[target], place[source], place[target]))
        else:
            place["testtype"].fail(f"is {shown(kind)}: give one of {', '.join(FUNCTIONAL + STDIN)}")
    return _finish(cases, setup, next((case.function for case in cases if case.function), None), at)


def _finish(cases: list[Test], setup: str, entry_point: str | None, at: At) -> Tests:
    if all(case.kind == "stdio" and not case.stdout.strip() for case in cases):
        at.fail("expects no output in any test, which a silent program passes: drop this problem")
    if setup:
        parse(setup, At(at.where, "setup"))
    return Tests(tuple(cases), setup, entry_point)


def _call(function: str, given: Any, expected: Any, at_input: At, at_output: At) -> Test:
    given = _plain_list(given)
    if isinstance(given, str):  # LiveCodeBench: one JSON value a line, and the output JSON too
        args = [load_json(line, at_input) for line in given.split("\n") if line.strip()]
        expected = load_json(expected, at_output) if isinstance(expected, str) else expected
    elif isinstance(given, list):
        args = given
    else:
        at_input.fail(f"is {shown(given)}: give the list of arguments")
    return Test(
        "call",
        function=function,
        args=tuple(_json_value(value, at_input) for value in args),
        expected=_json_value(expected, at_output),
    )


def _stdio(stdin: Any, stdout: Any, at_input: At, at_output: At) -> Test:
    return Test("stdio", stdin=_lines(stdin, at_input), stdout=_lines(stdout, at_output))


def _lines(value: Any, at: At) -> str:
    """Text of stdin or stdout; TACO has lists of lines, some sets have a bare number."""
    value = _plain_list(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_lines(line, at[index]) for index, line in enumerate(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    at.fail(f"is {shown(value)}: give a string")


def _json_value(value: Any, at: At) -> Any:
    """A value as JSON has it, so that a label gives back the same: tuples and arrays become lists."""
    value = _plain_list(value)
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        if value.bit_length() > 14_000:  # past what json reads back
            at.fail("holds an integer of more than 4,200 digits: give it as a string or drop this test")
        return value
    if isinstance(value, list):
        return [_json_value(item, at) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json_value(item, at) for key, item in value.items()}
    at.fail(f"holds {shown(value)}, which JSON cannot: give plain JSON values, with strings as keys")


def _present(record: dict[str, Any]) -> dict[str, Any]:
    # Parquet fills the fields that other rows have with nulls.
    return {key: value for key, value in record.items() if value is not None}


def _plain_list(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    # numpy arrays, in rows that pandas read from Parquet, and numpy's numbers
    return value.tolist() if hasattr(value, "tolist") else value


def _list(value: Any, at: At) -> list[Any]:
    value = _plain_list(value)
    return value if isinstance(value, list) else at.fail(f"is {shown(value)}: give a list")


def _text(value: Any, at: At) -> str:
    return value if isinstance(value, str) else at.fail(f"is {shown(value)}: give a string of Python")
