"""The page's answers: filters, single rollouts, and what is refused."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")

from acecoder_rl.rollouts.index import Index
from acecoder_rl.rollouts.log import RolloutLog
from tests.rollouts.made import rollout


class Client:
    """Asks the app of an index."""

    def __init__(self, index):
        self.index = index

    def get(self, path, host="127.0.0.1:8111", method="GET", **query):
        import asyncio

        import httpx

        from acecoder_rl.rollouts.app import app

        async def ask():
            transport = httpx.ASGITransport(app(self.index))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8111") as client:
                return await client.request(method, path, params=query, headers={"host": host})

        return asyncio.run(ask())

    def json(self, path, **query):
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Asks an app whose log has 40 rollouts, of 5 steps."""
    folder = tmp_path_factory.mktemp("run") / "rollouts"
    log = RolloutLog(folder)
    for number in range(40):
        log.add(rollout(
            number, ("000", "100", "110", "111")[number % 4], step=1 + number // 8,
            mode="eval" if number % 10 == 9 else "train",
            program="import gc\nx = gc.get_objects()\n" if number == 12 else f"def add(a, b):\n    return {number}\n",
            question="Die Größe" if number == 3 else "Write add.",
        ))  # fmt: skip
    log.close()
    index = Index(folder.parent)
    index.refresh()

    return Client(index)


def numbers(found) -> list[int]:
    return [round(row["time"] - 1e9) for row in found["rows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, list(range(39, -1, -1))),
        ({"ascending": "1", "limit": "3", "offset": "5"}, [5, 6, 7]),
        ({"step_min": "2", "step_max": "2"}, list(range(15, 7, -1))),
        ({"mode": "eval"}, [39, 29, 19, 9]),
        ({"reward_min": "0.9", "step_max": "1"}, [7, 3]),
        ({"reward_max": "0", "step_min": "5"}, [36, 32]),
        ({"flags": "gc"}, [12]),
        ({"flags": "any"}, [12]),
        ({"flags": "frames,gc"}, [12]),
        ({"problem": "P3", "step_max": "2"}, [10, 3]),
        ({"exact": "p"}, []),
        ({"text": "GRÖSSE"}, []),
        ({"text": "größe"}, [3]),
        ({"text": "RETURN 31"}, [31]),
        ({"text": "return 3", "step_max": "1"}, [3]),
        ({"sort": "reward", "limit": "2"}, [39, 35]),
        ({"sort": "reward", "ascending": "1", "limit": "2"}, [0, 4]),
    ],
)
def test_filters_and_order(client, query, expected):
    assert numbers(client.json("/api/rows", **query)) == expected


def test_a_list_comes_in_pieces(client):
    found = client.json("/api/rows", limit="0")
    assert found["matched"] == 40 and found["rows"] == []
    assert numbers(client.json("/api/rows", offset="38", limit="100000")) == [1, 0]


def test_one_rollout_comes_with_its_texts_and_its_group(client):
    (row,) = client.json("/api/rows", flags="gc")["rows"]
    found = client.json("/api/rollout", key=row["key"])
    assert (
        found["rollout"]["program"].startswith("import gc")
        and found["rollout"]["reasons"]["gc"] == "line 2: gc.get_objects"
    )
    assert [test["status"] for test in found["rollout"]["tests"]] == ["failed"] * 3
    assert found["size"] == 1 and found["group"][0]["key"] == row["key"]


def test_the_other_answers(client):
    assert client.json("/api/summary")["rows"] == 40 and client.json("/api/summary")["steps"] == [1, 5]
    assert client.json("/api/curves", mode="eval")["train"]["step"] == []
    assert client.json("/api/curves")["train"]["step"] == [1, 2, 3, 4, 5]
    groups = client.json("/api/groups")
    assert (groups["groups"], groups["without_spread"], groups["rows"]) == (4, 0, [])
    told = client.json("/api/suspects")
    assert {flag["name"]: flag["rows"] for flag in told["flags"]}["gc"] == 1 and told["jumps"] == []


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "evil.example:8111", "[::1]:8111", ""])
def test_another_hosts_name_is_refused(client, host):
    """A page elsewhere can have its own name point to this machine: its requests carry that name."""
    for path in ("/", "/api/summary", "/app.js"):
        assert client.get(path, host=host).status_code == 400
    assert client.get("/", host="localhost:8111").status_code == 200


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/rows", "/api/rollout?key=x", "/nothing"])
def test_every_answer_protects_whoever_looks(client, path):
    headers = client.get(path).headers
    assert "default-src 'none'; script-src 'self';" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers and headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_there_is_nothing_to_write_to(client, method):
    for path in ("/", "/api/rows", "/api/rollout"):
        assert client.get(path, method=method).status_code == 405


@pytest.mark.parametrize(
    "path", ["/../log.py", "/%2e%2e/log.py", "/..%2flog.py", "//etc/passwd", "/api/rollouts", "/page"]
)
def test_no_other_file_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "query",
    [{"sort": "program"}, {"mode": "x"}, {"step_min": "a"}, {"flags": "no"}, {"offset": "-1"}, {"reward_min": "1e"}],
)
def test_a_wrong_question_names_its_value(client, query):
    answer = client.get("/api/rows", **query)
    assert answer.status_code == 400 and next(iter(query)) in answer.json()["error"]


@pytest.mark.parametrize("key", ["", "x", "x:1", ":0", "../..:0", "a:-1", "a:\u0661"])
def test_a_rollout_that_is_not_there(client, key):
    assert client.get("/api/rollout", key=key).status_code == 404


def test_a_damaged_file_is_told_and_the_rest_is_shown(tmp_path):
    log = RolloutLog(tmp_path)
    log.add(rollout(0))
    log.close()
    (tmp_path / "0000000000001.other-1-a.0-3.parquet").write_bytes(b"PAR1 no more")
    index = Index(tmp_path)
    index.refresh()
    assert len(index) == 1 and list(index.unreadable) == ["0000000000001.other-1-a.0-3.parquet"]
    (tmp_path / "0000000000001.other-1-a.0-3.parquet").unlink()
    index.refresh()
    assert len(index) == 1 and not index.unreadable


def test_texts_that_are_damaged_do_not_hide_the_others(tmp_path):
    import pyarrow.parquet as parquet

    for number in range(2):
        log = RolloutLog(tmp_path)
        log.add(rollout(number))
        log.close()
    index = Index(tmp_path)
    index.refresh()
    keys = {row["key"].partition(":")[0]: row["key"] for row in index.brief(range(2))}
    damaged = next(tmp_path.glob("*.parquet"))
    with parquet.ParquetFile(damaged) as file:
        group = file.metadata.row_group(0)
    columns = (group.column(number) for number in range(group.num_columns))
    texts = next(column for column in columns if column.path_in_schema == "completion")
    content = bytearray(damaged.read_bytes())
    content[texts.dictionary_page_offset : texts.dictionary_page_offset + 16] = bytes(16)
    damaged.write_bytes(content)
    client, writer = Client(index), damaged.name.split(".")[1]
    found = client.json("/api/rows", text="return a + b")
    assert found["matched"] == 1 and found["rows"][0]["key"] != keys[writer]
    assert list(client.json("/api/summary")["unreadable"]) == [damaged.name]
    answer = client.get("/api/rollout", key=keys[writer])
    assert answer.status_code == 500 and "its file cannot be read" in answer.json()["error"]
