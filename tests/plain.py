"""Plain exec of honest programs with their asserts, one forked process each: the reference for verdicts.

Does not cover: any protection. Never give it a program that is not known to be honest.
"""

from __future__ import annotations

import json
import os
import signal
import sys


def plain_exec(program: str, setup: str, asserts: list[str], seconds: float = 60.0) -> list[bool]:
    """Which asserts hold when the program and they are exec'd in one namespace of one process.

    Shorter than `asserts` when one takes more than `seconds`: nothing is known from there on.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.write(writer, json.dumps(_here(program, setup, asserts, seconds)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else [False] * len(asserts)


def _here(program: str, setup: str, asserts: list[str], seconds: float) -> list[bool]:
    def expire(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, expire)
    sys.set_int_max_str_digits(0)
    namespace: dict[str, object] = {"__name__": "solution"}
    passed = []
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        exec(compile(program, "<solution>", "exec", dont_inherit=True), namespace)
        exec(compile(setup, "<setup>", "exec", dont_inherit=True), namespace)
    except TimeoutError:
        return []
    except BaseException:
        return [False] * len(asserts)
    for source in asserts:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            exec(compile(source, "<test>", "exec", dont_inherit=True), namespace)
            passed.append(True)
        except TimeoutError:
            return passed
        except BaseException:
            passed.append(False)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return passed
