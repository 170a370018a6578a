"""Each way in which a machine can refuse the jail: the sentence names its cause and mend."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from acecoder_rl.sandbox.host import CAP_VARIABLE, probe, why_not

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (CAP_VARIABLE, "SLURM_JOB_ID", "SLURM_CPUS_ON_NODE", "KUBERNETES_SERVICE_HOST", "container")
    for name in (*names, "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        monkeypatch.delenv(name, raising=False)


def tree(top: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = top / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return str(top)


def refused(step: str, code: int, landlock: int = 3) -> dict[str, object]:
    return {"ok": False, "step": step, "errno": code, "landlock_abi": landlock, "seccomp": True}


# Why a level cannot be had: (files, trial, words of the reason, words of the mend)

SECCOMP = {"/proc/self/status": "Name:\tpython\nSeccomp:\t2"}
USERNS_OFF = {"/proc/sys/user/max_user_namespaces": "0"}
CLONE_OFF = {"/proc/sys/kernel/unprivileged_userns_clone": "0"}
UBUNTU = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
    "/proc/self/attr/current": "unconfined",
}
DOCKER_LABEL = {"/proc/self/attr/current": "docker-default (enforce)"}
DOCKER = {"/.dockerenv": ""}
EPERM, EACCES, ENOSPC, ENOSYS, EINVAL = errno.EPERM, errno.EACCES, errno.ENOSPC, errno.ENOSYS, errno.EINVAL
REFUSALS = {
    "sysctl 0": (
        USERNS_OFF,
        ("user", ENOSPC),
        "max_user_namespaces is 0",
        "sysctl -w user.max_user_namespaces=",
    ),
    "no net namespaces": (
        {"/proc/sys/user/max_net_namespaces": "0"},
        ("net", ENOSPC),
        "max_net_namespaces is 0",
        "sysctl -w user.max_net_namespaces=",
    ),
    "all in use": (
        {"/proc/sys/user/max_user_namespaces": "8000"},
        ("user", ENOSPC),
        "8000 and all are in use",
        "user.max_user_namespaces=32000",
    ),
    "debian": (CLONE_OFF, ("user", EPERM), "unprivileged_userns_clone is 0", "unprivileged_userns_clone=1"),
    "ubuntu 23.10": (
        UBUNTU,
        ("map", EPERM),
        "restrict_unprivileged_userns is 1",
        "restrict_unprivileged_userns=0",
    ),
    "ubuntu 24.04": (
        UBUNTU,
        ("tmpfs", EACCES),
        "restrict_unprivileged_userns is 1",
        "sudo sysctl -w kernel.app",
    ),
    "docker": (
        SECCOMP | DOCKER,
        ("user", EPERM),
        "this docker container",
        "--security-opt seccomp=unconfined",
    ),
    "docker profile": (
        SECCOMP | DOCKER,
        ("pivot_root", EPERM),
        "pivot_root",
        "--cap-add SYS_ADMIN is not needed",
    ),
    "docker apparmor": (
        SECCOMP | DOCKER | DOCKER_LABEL,
        ("private", EACCES),
        "profile 'docker-default (enforce)'",
        "--security-opt apparmor=unconfined",
    ),
    "docker on ubuntu": (
        SECCOMP | DOCKER | UBUNTU,
        ("user", EPERM),
        "seccomp filter",
        "on the host of this docker container, `sudo sysctl -w kernel.apparmor",
    ),
    "docker, host forbids": (
        DOCKER | USERNS_OFF,
        ("user", ENOSPC),
        "max_user_namespaces is 0",
        "on the host of this docker container",
    ),
    "podman": (
        SECCOMP | {"/run/.containerenv": ""},
        ("mount", ENOSYS),
        "seccomp filter of this podman container",
        "podman run --security-opt",
    ),
    "kubernetes": (
        SECCOMP | {"/var/run/secrets/kubernetes.io/token": ""},
        ("user", EPERM),
        "this kubernetes container",
        "seccompProfile: {type: Unconfined}",
    ),
    "apptainer": (
        SECCOMP | {"/.singularity.d/runscript": ""},
        ("user", EPERM),
        "apptainer",
        "apptainer exec --userns",
    ),
    "chroot": ({}, ("user", EPERM), "chroot", "outside of the chroot"),
    "selinux": (
        {"/proc/self/attr/current": "user_u:user_r:user_t:s0"},
        ("user", EACCES),
        "user_u:user_r:user_t:s0",
        "user_namespace { create }",
    ),
    "kernel": ({}, ("user", EINVAL), "built without user namespaces", "CONFIG_USER_NS=y"),
    "initramfs": ({}, ("pivot_root", EINVAL), "initramfs", "switch_root"),
    "nested": ({}, ("user", errno.EUSERS), "nested too deeply", "outside"),
    "trial": (
        {},
        ("the probe could not be run: [Errno 13] python", 0),
        "could not be run: [Errno 13]",
        "let uid",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_names_cause_and_mend(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, (step, code), reason, mend = REFUSALS[case]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    sentence = why_not("namespaces", probe(tree(tmp_path, files), refused(step, code)))
    assert sentence.startswith("isolation 'namespaces' cannot be had here: ")
    before, after = sentence.split("Mend: ")
    assert reason in before
    assert mend in after
    assert "require='landlock'" in after


def test_slurm_users_are_sent_to_their_administrators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    host = probe(tree(tmp_path, USERNS_OFF), refused("user", ENOSPC))
    assert "ask the cluster's administrators for `sudo sysctl -w user.max_user_namespaces" in why_not(
        "namespaces", host
    )


@pytest.mark.parametrize(
    ("code", "files", "words"),
    [
        (errno.EOPNOTSUPP, {}, "boot parameter lsm="),
        (ENOSYS, {}, "Linux 5.13 or later"),
        (EPERM, SECCOMP, "seccomp filter hides it"),
    ],
)
def test_landlock_refusals(code: int, files: dict[str, str], words: str, tmp_path: Path) -> None:
    trial = refused("user", EPERM, landlock=0) | {"landlock_errno": code}
    host = probe(tree(tmp_path, files), trial)
    assert words in why_not("landlock", host)
    assert "require='none'" in why_not("landlock", host)
