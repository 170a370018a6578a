"""How a stage's tests run: in the worker's own judgement, by stdin, through a judge, or shared.

Covers: one function an engine; each runs tests in one candidate process and returns those that are
left, for which the caller starts another.
Does not cover: what all engines share (run.py), how a frame becomes an outcome (outcomes.py).
Hostile input: every frame of the candidate, and of the judge, which handles its values.
"""

from __future__ import annotations

import marshal
import os
import socket
import time
from collections.abc import Callable

from acecoder_rl.sandbox.child import Child, Stop
from acecoder_rl.sandbox.meter import peer_pid
from acecoder_rl.sandbox.outcomes import judge_reply, judge_report, judge_starts, one_line, remote_error
from acecoder_rl.sandbox.route import Stage
from acecoder_rl.sandbox.run import LoadFailed, Run, send_frame
from acecoder_rl.sandbox.stdio import compare_stdout
from acecoder_rl.sandbox.verdict import Outcome, SandboxError, Verdict


def run_program(run: Run) -> Verdict:
    """Run all stages of a program and sum them up."""
    status, message = "ok", ""
    try:
        for stage in run.route.stages:
            _run_stage(run, stage)
    except LoadFailed as failure:
        status, message = failure.args
    return Verdict(
        outcomes=tuple(outcome or Outcome("not_run", message) for outcome in run.outcomes),
        status=status,  # type: ignore[arg-type]
        message=message,
        isolation="shared" if any(stage.engine == "shared" for stage in run.route.stages) else "split",
        cpu_seconds=round(run.budget.cpu_seconds, 6),
        wall_seconds=round(time.monotonic() - run.budget.started, 6),
    )


def _run_stage(run: Run, stage: Stage) -> None:
    todo = list(stage.indices)
    run.role = "shared" if stage.engine == "shared" else "candidate"
    while todo and not run.halted:
        reason = run.budget.exhausted() or ("" if run.budget.test_limit() else "time-outs used up the time")
        if reason:
            for index in todo:
                run.outcomes[index] = Outcome("not_run", reason)
            return
        todo = ENGINES[stage.engine](run, stage, todo)


def run_calls(run: Run, stage: Stage, todo: list[int]) -> list[int]:
    """Simple asserts and function calls, judged here."""
    checks = dict(zip(stage.indices, stage.checks, strict=True))
    sock = run.fork("calls")
    child = Child(sock, None, run.budget, run.owner)
    blob = stage.blob if len(todo) == len(stage.indices) else run.route.calls_blob([checks[i] for i in todo])
    child.send(blob)
    run.await_load(child, sock)
    passed = Outcome("passed")
    for position, index in enumerate(todo):
        limit = run.budget.test_limit()
        frame = child.next(limit)
        used = child.lap()
        if isinstance(frame, Stop):
            run.interrupted(index, frame, used, limit, run.drop(sock))
            return todo[position + 1 :]
        check = checks[index]
        if frame == check.passing:
            seconds = round(used, 6)
            if passed.cpu_seconds != seconds:  # one object for all of a batch
                passed = Outcome("passed", "", seconds)
            outcome = passed
        else:
            outcome = run.judged(lambda c=check, f=frame, u=used: judge_reply(c, f, u))  # type: ignore[misc]
            if outcome.status == "timeout" and not run.settle(index, outcome):
                run.drop(sock)
                return todo[position + 1 :]
        if run.settle(index, outcome):
            break
    sock.close()
    run.zygote(run.role).kill()
    return []


def run_stdio(run: Run, stage: Stage, todo: list[int]) -> list[int]:
    """One stdin case in a fresh process."""
    index = todo[0]
    test = run.route.tests.tests[index]
    stdin, stdout = _memory_file(test.stdin.encode("utf-8", "surrogatepass")), os.memfd_create("stdout")
    try:
        sock, pid = run.start("stdio", [stdin, stdout])
        child = Child(sock, [pid], run.budget, run.owner)
        limit = run.budget.test_limit()
        frame = child.next(limit)
        if isinstance(frame, bytes) and frame[:1] == b"S":
            run.drop(sock)
            raise LoadFailed(
                "syntax_error",
                one_line(": ".join((remote_error(frame[1:])[0][0], remote_error(frame[1:])[1]))),
            )
        if frame == b"L":  # once: a program that goes on sending it has said that it is done
            frame = child.next(limit)
        if isinstance(frame, bytes):  # done: what follows is only the exit
            last = child.next(limit)
            if isinstance(last, Stop) and last.reason == "timeout":
                frame = last
        used = child.lap()
        ended = run.drop(sock)
        used = max(used, ended.cpu_seconds)
        if isinstance(frame, Stop) and (frame.reason == "timeout" or ended.signal):
            run.interrupted(index, frame, used, limit, ended)
            return todo[1:]
        if isinstance(frame, bytes) and len(frame) > 1:
            names, message = remote_error(frame[1:])
            status = "memory" if "MemoryError" in names else "error"
            outcome = Outcome(status, one_line(f"{names[0]}: {message}"), round(used, 6))
        elif ended.exit_code and not ended.signal:
            outcome = Outcome("error", f"exit status {ended.exit_code}", round(used, 6))
        elif os.fstat(stdout).st_size > run.job.limits.output_mb * (1 << 20):
            outcome = Outcome("error", f"printed more than {run.job.limits.output_mb:g} MiB", round(used, 6))
        else:
            produced = _read_all(stdout)
            outcome = run.judged(lambda: compare_stdout(produced, test.stdout, round(used, 6)))
        run.settle(index, outcome)
        return todo[1:]
    finally:
        os.close(stdin)
        os.close(stdout)


def run_judge(run: Run, stage: Stage, todo: list[int]) -> list[int]:
    """Everything else: the judge process runs the tests and calls the candidate."""
    sock, pid = run.start("serve")
    loading = Child(sock, [pid], run.budget, run.owner)
    run.await_load(loading, sock)
    control, theirs = socket.socketpair()
    control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    judge = run.zygote("frameworks" if run.route.frameworks else "judge")
    judge.fork(run.job.limits, [sock.fileno(), theirs.fileno()])
    theirs.close()
    try:
        send_frame(control, _judge_frame(run, stage, todo))
        judge_pid = peer_pid(control)
        if not judge_pid:
            raise SandboxError(f"a judge died before it began: wait status {judge.end().status}")
        child = Child(control, [pid, judge_pid], run.budget, run.owner, loading.mark)
        rest, needs_end = _follow(run, stage, child, todo, sock)
    finally:
        control.close()
        judge.kill()
    if not needs_end:
        sock.close()
        run.zygote(run.role).kill()
    return rest


def run_shared(run: Run, stage: Stage, todo: list[int]) -> list[int]:
    """Tests that patch the program's internals: they run in its process."""
    sock, pid = run.start("shared")
    child = Child(sock, [pid], run.budget, run.owner)
    run.await_load(child, sock)
    child.send(_judge_frame(run, stage, todo))
    rest, ended = _follow(run, stage, child, todo, sock)
    if not ended:
        sock.close()
        run.zygote(run.role).kill()
    return rest


def _judge_frame(run: Run, stage: Stage, todo: list[int]) -> bytes:
    """What a judge is sent: the problem's prepared tests, and where to begin."""
    start, limit = len(stage.indices) - len(todo), int(run.job.limits.output_mb * (1 << 20))
    # The tests' random numbers: those of each worker, and none that the program, which has its own, foresees.
    seed = run.job.seed ^ int(run.route.tests.digest[:8], 16)
    return marshal.dumps({**stage.spec, "start": start, "max_bytes": limit, "seed": seed})


def _follow(run: Run, stage: Stage, child: Child, todo: list[int], sock: socket.socket) -> tuple[list[int], bool]:
    """Read a judge's reports; returns the tests left and whether the candidate is gone."""
    first = len(stage.indices) - len(todo)
    for position, index in enumerate(todo):
        limit = run.budget.test_limit()
        child.lap()
        frame = child.next(limit)
        if isinstance(frame, bytes) and judge_starts(frame, first + position):
            frame = child.next(limit)
        used = child.lap()
        if isinstance(frame, Stop):
            if frame.reason == "died":
                frame = Stop("judge_died", "the process that ran the tests died on the program's values")
            run.interrupted(index, frame, used, limit, run.drop(sock))
            return todo[position + 1 :], True
        status, message, claimed = judge_report(frame, first + position)
        if status == "crashed":
            run.interrupted(index, Stop("died", message), used, limit, run.drop(sock))
            return todo[position + 1 :], True
        claimed = claimed or stage.spec.get("runs_text", False)
        if run.settle(index, Outcome(status, one_line(message), round(used, 6), claimed)):
            break
    return [], False


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("stdin")
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _read_all(descriptor: int) -> bytes:
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


ENGINES: dict[str, Callable[[Run, Stage, list[int]], list[int]]] = {
    "calls": run_calls,
    "stdio": run_stdio,
    "judge": run_judge,
    "shared": run_shared,
}
