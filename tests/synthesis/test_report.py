"""A run's page tells what its tables hold, needs nothing beside it, and shows what models wrote as text.

Run: pytest tests/synthesis/test_report.py
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import build, imagine, pairs, report, sample, seeds, verify
from acecoder_rl.synthesis.pairs import PairsSettings
from acecoder_rl.synthesis.report import ReportSettings
from acecoder_rl.synthesis.report_numbers import numbers
from acecoder_rl.synthesis.stages import Chunk, Dropped, run_stage

HOSTILE = "</script><script>alert(1)</script>\u2028\u2029<!--<img src=x onerror=alert(2)>]]>&lt;\ud800\0'\"`${1}"
TESTS = ["assert f(1) == 2", "assert f(2) == 3"]


def written(folder: Path, stage: str, schema: Any, rows: list[dict[str, Any]], **more: Any) -> None:
    """A finished stage with these rows, and with what it dropped."""
    made = Chunk(rows, **more)
    source = [{"id": row["id"]} for row in rows] + [{"id": each.id} for each in made.dropped]
    run_stage(folder, stage, schema, source, lambda chunk: made, 1000, {})


def a_run(folder: Path, text: str = "Write f.", until: str = "pairs") -> Path:
    """Three seeds: of q_0 all is there; verify drops q_1, and imagine q_2."""
    program = f"def f(x):\n    return x + 1  # {text}"
    rows = [{"id": f"q_{n}", "source": "q", "instruction": text, "program": program} for n in range(3)]
    written(folder, "seeds", seeds.schema(), rows, dropped=[Dropped("q_3", "unparsable", {"error": text})])
    if until == "seeds":
        return folder
    rows = [
        {"id": f"q_{n}", "source": "q", "question": f"{n}: {text}", "tests": json.dumps([*TESTS, text]), "model": "m"}
        for n in (0, 1)
    ]
    gone = [Dropped("q_2", "unreadable", {"finish": "stop", "answer": text})]
    counts = {"tokens_in": 1234, "tokens_out": 99}
    written(folder, "imagine", imagine.schema(), rows, dropped=gone, counts=counts, cost=1.5)
    if until == "imagine":
        return folder
    shared = {"id": "q_0", "source": "q", "question": f"0: {text}", "tests": json.dumps(TESTS)}
    row = {
        **shared,
        "imagined": 3,
        "oracle": json.dumps([{"model": "o", "program": program, "passed": [1, 1]}]),
        "dropped_tests": json.dumps([{"test": text, "reason": "unparsable"}]),
    }
    tests = [{"test": TESTS[0], "reason": "few_tests"}, {"test": text, "reason": "oracle_failed"}]
    gone = [Dropped("q_1", "few_tests", {"imagined": 3, "tests": tests})]
    counts = {"tests_dropped.unparsable": 1, "tests_dropped.few_tests": 1, "tests_dropped.oracle_failed": 1}
    written(folder, "verify", verify.schema(), [row], dropped=gone, counts=counts)
    inferences = [
        {
            "model_name": text,
            "completion_id": n,
            "completion": f"{program}{n}",
            "pass_rate": rate,
            "test_results": [1, n],
            "truncated": False,
        }
        for n, rate in enumerate([1.0, 0.5])
    ]
    written(folder, "sample", sample.schema(), [{**shared, "inferences": json.dumps(inferences)}])
    build.run(folder)
    pairs.run(folder, PairsSettings())
    return folder


class Page(HTMLParser):
    """A page as a browser reads it: its elements and what the scripts hold."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._script = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._script = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data
        else:
            self.text += data + "\n"

    def examples(self) -> dict[str, dict[str, Any]]:
        (number,) = [
            number
            for number, attributes in enumerate(attributes for tag, attributes in self.tags if tag == "script")
            if attributes.get("type") == "application/json" and attributes.get("id") == "examples"
        ]
        return {each["id"]: each for each in json.loads(self.scripts[number])}


def made(folder: Path, **settings: Any) -> Page:
    return Page(report.run(folder, ReportSettings(**settings)))


def test_examples_hold_all_that_is_known(tmp_path):
    found = made(a_run(tmp_path)).examples()
    assert found.keys() == {"q_0", "q_1", "q_2"}
    program = "def f(x):\n    return x + 1  # Write f."
    kept = found["q_0"]
    assert (kept["outcome"], kept["question"], kept["tests"]) == ("kept", "0: Write f.", TESTS)
    assert kept["dropped"] == [{"test": "Write f.", "reason": "unparsable"}]
    assert kept["seed"] == {"instruction": "Write f.", "program": program}
    assert [(each["model"], each["rate"]) for each in kept["oracle"]] == [("o", 1.0)]
    assert [(each["program"], each["rate"], each["passed"]) for each in kept["programs"]] == [
        (f"{program}0", 1.0, [1, 0]),
        (f"{program}1", 0.5, [1, 1]),
    ]
    assert (found["q_1"]["outcome"], found["q_1"]["question"]) == ("verify: few_tests", "1: Write f.")
    assert (found["q_1"]["tests"], len(found["q_1"]["dropped"])) == ([], 2)
    assert (found["q_2"]["outcome"], found["q_2"]["note"]) == ("imagine: unreadable", "Write f.")


def test_the_numbers(tmp_path):
    found = numbers(a_run(tmp_path))
    assert found.funnel() == {
        "rows of the sources": 4,
        "seeds": 3,
        "questions imagined": 2,
        "with tests to trust": 1,
        "with programs": 1,
        "in the dataset": 1,
        "with a pair": 1,
    }
    assert (found.imagined, found.kept) == ({3: 1}, {2: 1})
    assert found.rates == {"Write f.": {20: 1, 10: 1}} and found.means == {15: 1}
    page = made(tmp_path)
    for told in ("1,234", "99", "1.50", "imagine", "verify"):
        assert told in page.text
    figure = next(script for script in page.scripts if "Plotly.newPlot" in script)
    for told in ("rows of the sources", "verify: few_tests", "oracle_failed", "seeds: unparsable"):
        assert told in figure


def test_hostile_text_is_data(tmp_path):
    calm, hostile = made(a_run(tmp_path / "calm")), made(a_run(tmp_path / "hostile", HOSTILE))
    # The same elements, whatever models write; nothing of it is markup.
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in calm.tags]
    for piece in ("<img", "<script>alert", "\u2028", "\u2029"):
        assert hostile.source.count(piece) == calm.source.count(piece)
    (data,) = re.findall(r'id="examples">(.*)</script>', hostile.source)
    assert data.isascii() and not set("<>&") & set(data)
    # UTF-8 cannot hold half a character, which Parquet has as "?"; JSON in a column can.
    as_stored = HOSTILE.replace("\ud800", "?")
    assert hostile.examples()["q_0"]["question"] == f"0: {as_stored}"
    assert hostile.examples()["q_0"]["dropped"][0]["test"] == HOSTILE


def test_text_is_put_in_the_page_as_text_only(tmp_path):
    script = made(a_run(tmp_path)).scripts[-1]
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|setAttribute\(\"on", script)


def test_it_needs_nothing_beside_it(tmp_path):
    page = made(a_run(tmp_path))
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form"), attributes
        assert not {"src", "href", "srcset", "action"} & attributes.keys(), (tag, attributes)
    (policy,) = [attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv")]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert any("plotly.js v" in script for script in page.scripts)


@pytest.mark.parametrize(("until", "outcomes"), [("seeds", {"kept"}), ("imagine", {"kept", "imagine: unreadable"})])
def test_a_run_in_the_middle_has_one_as_well(tmp_path, until, outcomes):
    found = made(a_run(tmp_path, until=until), examples=8).examples()
    assert {each["outcome"] for each in found.values()} == outcomes and len(found) == 3


def test_a_stage_in_the_middle(tmp_path):
    a_run(tmp_path, until="seeds")
    rows = [{"id": f"q_{n}", "source": "q", "question": "?", "tests": "[]", "model": "m"} for n in range(3)]

    def breaks(chunk: list[dict[str, Any]]) -> Chunk:
        if chunk[0]["id"] == "q_2":
            raise KeyboardInterrupt
        return Chunk(chunk)

    with pytest.raises(KeyboardInterrupt):
        run_stage(tmp_path, "imagine", imagine.schema(), rows, breaks, 1, {})
    (tmp_path / "imagine" / "dropped-00002.parquet").write_bytes(b"half")
    page = made(tmp_path)
    assert page.examples().keys() == {"q_0", "q_1"} and "running" in page.text


def test_no_run_at_all(tmp_path):
    page = made(tmp_path)
    assert "No stage has written anything yet" in page.text and page.examples() == {}


def test_the_same_again_is_left_alone_and_news_are_not(tmp_path):
    a_run(tmp_path, until="imagine")
    path = report.run(tmp_path, ReportSettings())
    first = path.stat()
    assert report.run(tmp_path, ReportSettings()).stat().st_mtime_ns == first.st_mtime_ns
    assert report.run(tmp_path, ReportSettings(seed=1)).stat().st_ino != first.st_ino
    again = path.stat()
    rows = [
        {
            "id": "q_0",
            "source": "q",
            "question": "?",
            "tests": "[]",
            "imagined": 1,
            "oracle": "[]",
            "dropped_tests": "[]",
        }
    ]
    written(tmp_path, "verify", verify.schema(), rows)
    assert report.run(tmp_path, ReportSettings(seed=1)).stat().st_ino != again.st_ino


def test_the_same_run_gives_the_same_page(tmp_path):
    page = made(a_run(tmp_path)).source
    (tmp_path / "report.html").unlink()
    assert made(tmp_path).source == page


def test_examples_are_a_few_by_the_seed(tmp_path):
    rows = [{"id": f"q_{n}", "source": "q", "question": f"{n}", "tests": "[]", "model": "m"} for n in range(60)]
    gone = [Dropped(f"d_{n}", "unreadable", {"answer": "x" * 9000}) for n in range(60)]
    written(tmp_path, "imagine", imagine.schema(), rows, dropped=gone)
    chosen = {seed: made(tmp_path, examples=20, seed=seed).examples() for seed in (1, 2)}
    for found in chosen.values():
        assert sum(name.startswith("q_") for name in found) == 15 and len(found) == 20
    assert chosen[1].keys() != chosen[2].keys()
    note = next(each["note"] for each in chosen[1].values() if "note" in each)
    assert note == "x" * 6000 + "\n... 3000 more characters"
    assert made(tmp_path, examples=0).examples() == {}


def test_a_damaged_file_is_named(tmp_path):
    a_run(tmp_path, until="imagine")
    (tmp_path / "imagine" / "part-00000.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"imagine/part-00000\.parquet is damaged.*--from imagine"):
        made(tmp_path)
