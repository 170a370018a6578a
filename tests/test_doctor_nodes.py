"""`srun acecoder-rl doctor`: one table of all nodes, in which what differs or is missing stands out.

The tasks are processes with the variables that srun gives them; that a real Slurm gives them is seen in slurm/.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl import doctor_nodes
from acecoder_rl.doctor_nodes import Step, deliver, gather, hosts, slurm_step
from acecoder_rl.doctor_table import rows, show_nodes, status_of
from acecoder_rl.sandbox.host import CAP_VARIABLE, best_level, probe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
Report = dict[str, Any]


def _variables(rank: int, job: str, nodes: str = "n[1-2]", tasks: int = 2, local: int = 0) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": job, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_STEP_NODELIST": nodes,
        "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURMD_NODENAME": f"n{rank + 1}",
        "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1", "COLUMNS": "140",
    }  # fmt: skip


@pytest.fixture
def job() -> str:
    """A number of its own, and so ports of its own."""
    return str(secrets.randbelow(10**9))


@pytest.fixture
def steps(job: str) -> list[Step]:
    found = [slurm_step(_variables(rank, job, "n[1-3]", 3)) for rank in range(3)]
    assert None not in found
    return found  # type: ignore[return-value]


def _run(variables: list[dict[str, str]], *arguments: str, cwd: list[Path]) -> list[subprocess.CompletedProcess[str]]:
    """Tasks at once, each to its end."""
    command = [sys.executable, "-m", "acecoder_rl.cli", "doctor", *arguments]
    tasks = [
        subprocess.Popen(
            command, cwd=folder, env=os.environ | each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for each, folder in zip(variables, cwd, strict=True)
    ]
    done = []
    for task in tasks:
        out, err = task.communicate(timeout=300)
        done.append(subprocess.CompletedProcess(command, task.returncode, out, err))
    return done


def test_two_nodes_one_of_them_weaker(job: str, tmp_path: Path) -> None:
    if best_level(probe()) != "namespaces":
        pytest.skip("needs a host with namespaces, to be weaker than")
    tasks = [_variables(0, job, tasks=3), _variables(1, job, tasks=3) | {CAP_VARIABLE: "none"}]
    tasks.append(_variables(1, job, tasks=3, local=1))  # a second task of a node has nothing to say
    first, *others = _run(tasks, cwd=[tmp_path] * 3)
    assert [(task.returncode, task.stdout) for task in others] == [(0, ""), (0, "")], others[0].stderr
    assert first.returncode == 1, first.stderr
    lines = [line.split() for line in first.stdout.splitlines()]
    assert lines[0][:6] == ["2", "nodes", "of", "Slurm", "job", f"{job}:"]
    assert ["differs", "isolation", "namespaces", "n1"] in lines and ["none", "n2"] in lines
    assert ["ok", "shared", "folder", "seen", "and", "written", "all"] in lines
    assert "n2: programs run at isolation 'none' there, 'namespaces' is required" in first.stdout
    assert f"mend: unset {CAP_VARIABLE}" in first.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_asks_for_less_and_json(job: str, tmp_path: Path) -> None:
    recipe = Path(__file__).parent / "training" / "recipes" / "cpu.yaml"
    (tmp_path / "less.yaml").write_text(f"base: {recipe}\nsandbox:\n  require: none\n")
    tasks = [_variables(rank, job) | {CAP_VARIABLE: "none"} for rank in range(2)]
    first, second = _run(tasks, "less.yaml", "--json", cwd=[tmp_path] * 2)
    assert (first.returncode, second.returncode, second.stdout) == (0, 0, ""), first.stdout + second.stderr
    told = json.loads(first.stdout)
    assert told["exit_status"] == 0
    assert [(node["node"], node["level"], node["folder"]) for node in told["nodes"]] == [
        ("n1", "none", "ok"),
        ("n2", "none", "ok"),
    ]
    assert abs(told["nodes"][1]["skew"]) < 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-2,7],login", ["n1", "n2", "n7", "login"]),
        ("gpu[008-011]", ["gpu008", "gpu009", "gpu010", "gpu011"]),
        ("r[1-2]n[1-2]x", ["r1n1x", "r1n2x", "r2n1x", "r2n2x"]),
        ("", []),
    ],
)
def test_slurms_lists_of_nodes(text: str, names: list[str]) -> None:
    assert hosts(text) == names


@pytest.mark.parametrize("change", [{"SLURM_STEP_NUM_TASKS": "1"}, {"SLURM_STEP_NUM_TASKS": ""}])
def test_a_batch_script_or_a_step_of_one_task_is_a_machine_by_itself(change: dict[str, str]) -> None:
    assert slurm_step(_variables(0, "7") | change) is None


def _others(steps: list[Step], folders: list[Path]) -> Callable[[], None]:
    """Deliver in threads; call what is returned to wait for them."""
    threads = [
        threading.Thread(target=deliver, args=(step, {"level": "none"}, folder, {}))
        for step, folder in zip(steps, folders, strict=True)
    ]
    for thread in threads:
        thread.start()
    return lambda: [thread.join(120) for thread in threads] and None


def test_a_node_that_does_not_answer_is_named(
    steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_nodes, "WAIT_SECONDS", 10.0)
    wait = _others(steps[1:2], [tmp_path])
    reports = gather(steps[0], {"level": "none"}, tmp_path)
    wait()
    assert [report["node"] for report in reports] == ["n1", "n2", "n3"]
    assert reports[2]["error"].startswith("no report within 10 s: it did not start there, or cannot reach n1 over TCP")
    assert "error" not in reports[1] and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor_nodes, "WAIT_SECONDS", 0.5)
    assert deliver(steps[2], {}, tmp_path, {}) is False


def test_a_folder_that_is_not_shared_is_told(
    steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_nodes, "SEEN_SECONDS", 0.2)
    for name in ("n1", "n3"):
        (tmp_path / name).mkdir()
    wait = _others(steps[1:], [tmp_path / "n1", tmp_path / "n3"])
    reports = {report["node"]: report["folder"] for report in gather(steps[0], {"level": "none"}, tmp_path / "n1")}
    wait()
    assert reports == {"n1": "ok", "n2": "ok", "n3": f"{tmp_path / 'n3'} is not the first node's folder"}


def test_nothing_is_written_through_a_link(steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_nodes, "WAIT_SECONDS", 0.1)
    kept = tmp_path / "kept"
    kept.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f".acecoder-rl-doctor-{steps[0].name}").symlink_to(kept)
    own = gather(steps[0], {"level": "none"}, folder)[0]
    assert own["folder"] == f"{folder} cannot be written: File exists" and kept.read_text() == "mine"


def test_strangers_on_the_port_do_not_disturb(steps: list[Step], tmp_path: Path) -> None:
    with socket.create_server(("", steps[0].ports[0])):  # a port that another program has
        stop = threading.Event()

        def knock() -> None:
            while not stop.is_set():
                with suppress(OSError), socket.create_connection(("127.0.0.1", steps[0].ports[1]), 1) as stranger:
                    stranger.sendall(b'[1]\n{"node": "n3"}\n\xff')
                time.sleep(0.05)

        knocking = threading.Thread(target=knock)
        knocking.start()
        wait = _others(steps[1:], [tmp_path] * 2)
        reports = gather(steps[0], {"level": "none"}, tmp_path)
        wait()
        stop.set()
        knocking.join()
    assert sorted(report["node"] for report in reports) == ["n1", "n2", "n3"]
    assert all(report["level"] == "none" for report in reports)


def _report(node: str, level: str = "namespaces", skew: float = 0.0, **found: str) -> Report:
    checks = [
        {"section": "training", "name": name, "status": "ok", "found": text, "costs": "", "mend": ""}
        for name, text in ({"self-test": f"passed on {node}", "ray": "2.55.0"} | found).items()
    ]
    host = {"cores": 8, "memory_mb": 16000}
    return {"node": node, "level": level, "host": host, "checks": checks, "skew": skew, "folder": "ok"}


def _fact(reports: list[Report], name: str) -> tuple[Any, str]:
    ((groups, status),) = [(groups, status) for fact, groups, status in rows(reports) if fact == name]
    return groups, status


def test_what_differs_stands_out_with_the_commonest_first() -> None:
    reports = [_report("n1", ray="2.54.0"), _report("n2"), _report("n3"), {"node": "n4", "error": "no report"}]
    assert _fact(reports, "ray") == ([("2.55.0", ["n2", "n3"]), ("2.54.0", ["n1"])], "differs")
    assert _fact(reports, "self-test") == ([("ok", ["n1", "n2", "n3"])], "ok")
    assert _fact(reports, "report") == ([("none", ["n4"])], "missing")
    assert status_of(reports, "namespaces") == 1 and status_of(reports[:3], "namespaces") == 0


def test_a_clock_that_is_off_and_what_is_missing_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    reports = [_report("n1"), _report("n2", skew=-5.25), _report("n3", skew=0.01)]
    for report in reports[:2]:
        report["checks"][1] |= {"status": "missing", "found": "not installed", "mend": "pip install ray==2.55.0"}
    reports[2]["checks"][1] = reports[1]["checks"][1]
    assert _fact(reports, "clock")[0][1] == ("-5.2 s", ["n2"])
    assert _fact(reports, "ray") == ([("not installed", ["n1", "n2", "n3"])], "missing")
    show_nodes(reports, "namespaces", "7")
    out = capsys.readouterr().out
    assert out.count("pip install ray==2.55.0") == 1 and "all: ray: not installed" in out
    assert "n2: clock: it differs" in out


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"level": "landlock"}, "isolation 'landlock' there, 'namespaces' is required"),
        ({"folder": "/x cannot be written: Read-only file system"}, "shared folder: /x cannot be written"),
        ({"error": "no report within 60 s"}, "no report within 60 s"),
    ],
)
def test_a_node_that_cannot_take_part_fails_the_whole(
    change: Report, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [_report("n1"), _report("n2") | change]
    assert status_of(reports, "namespaces") == 1
    show_nodes(reports, "namespaces", "7")
    assert fault in " ".join(capsys.readouterr().out.split())
    if change.get("level"):
        assert status_of(reports, "landlock") == 0


def test_a_self_test_that_failed_on_one_node_fails_the_whole() -> None:
    reports = [_report("n1"), _report("n2")]
    reports[1]["checks"][0] |= {"status": "missing", "found": "RuntimeError: no workers today", "mend": "report it"}
    assert status_of(reports, "none") == 1
    assert _fact(reports, "self-test")[1] == "differs"
