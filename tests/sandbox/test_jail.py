"""Confined children do what honest programs do, within limits, and leave nothing behind.

Covers: each level, as root and as an ordinary user, by a driver of its own.
Does not cover: what they must not do (test_jail_escapes.py), programs with tests (test_sandbox.py).
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.sandbox.jails import WHO, Died, Driver, only, reachable, start

HONEST = {
    "threads": """
import threading
got = []
threads = [threading.Thread(target=got.append, args=(i,)) for i in range(40)]
[t.start() for t in threads]; [t.join() for t in threads]
out = len(got) == 40""",
    "asyncio": """
import asyncio
async def f(n):
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(lambda: n)
async def main(): return sum(await asyncio.gather(*map(f, range(5))))
out = asyncio.run(main()) == 10""",
    "files": """
import os, tempfile, shutil
with tempfile.TemporaryDirectory(dir='.') as d:
    p = os.path.join(d, 'x')
    open(p, 'w').write('abc'); os.rename(p, p + '2'); os.symlink('x2', p + '3'); os.link(p + '2', p + '4')
    shutil.copyfile(p + '3', p + '5'); os.truncate(os.open(p + '5', os.O_RDWR), 1)
    out = [open(p + '4').read(), open(p + '5').read(), len(os.listdir(d))] == ['abc', 'a', 4]""",
    "signals": """
import signal, os, time
hit = []
signal.signal(signal.SIGALRM, lambda *a: hit.append(1))
signal.signal(signal.SIGUSR1, lambda *a: hit.append(2))
signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05)
os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)
out = hit == [1, 2, 2]""",
    "modules": """
import ctypes, decimal, random, mmap, secrets, uuid, select, os, sqlite3, hashlib, zlib, resource, time, pwd
m = mmap.mmap(-1, 8192); m[0] = 7
call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda x: x + 1)
r, w = os.pipe(); os.write(w, b'x')
resource.setrlimit(resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK))
sqlite3.connect(':memory:').execute('select 1')
time.localtime(), os.urandom(4), uuid.uuid4(), secrets.token_hex(), os.cpu_count(), os.sched_getaffinity(0)
out = call(4) == 5 and bool(select.select([r], [], [], 0)[0])""",
    "recursion": """
import sys
sys.setrecursionlimit(10**6)
class A:
    def __init__(self, n): self.n = n
    def __repr__(self): return repr(A(self.n - 1)) if self.n else 'x'
out = repr(A(20000)) == 'x'""",
    "terminal": "import os; out = not os.isatty(os.pipe()[0])",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_work(jail: Driver, name: str) -> None:
    result = jail.run(HONEST[name])
    assert (result.out, result.error, result.signal) == (True, "", 0)


def test_the_environment_of_a_namespaced_program(jail: Driver) -> None:
    only(jail, "namespaces")
    result = jail.run("""
import os, pwd, socket
out = [os.getcwd(), sorted(os.listdir('/dev')), os.path.expanduser('~' + pwd.getpwuid(os.getuid()).pw_name),
       socket.gethostname(), sorted(os.listdir('/etc')), os.path.exists('/proc'), os.path.exists('/sys'),
       open('/dev/zero', 'rb').read(2) == b'\\0\\0', open('/dev/null', 'w').write('x'), os.listdir('/tmp')]
""")
    assert result.error == ""
    cwd, dev, home, host, etc, proc, sys_, zero, null, tmp = result.out
    assert (cwd, home, host, tmp) == ("/tmp", "/tmp", "sandbox", [])
    assert (proc, sys_, zero, null) == (False, False, True, 1)
    assert dev == ["full", "null", "random", "shm", "stdin", "urandom", "zero"]
    assert set(etc) <= {"group", "ld.so.cache", "localtime", "passwd"}


def test_limits(jail: Driver) -> None:
    grab = jail.run("x = bytearray(1 << 30)", memory_bytes=512 << 20)
    assert grab.error.startswith("MemoryError")
    big = jail.run("f = open('big', 'wb', 0)\nwhile f.write(bytes(1 << 16)): pass")
    assert "File too large" in big.error
    assert jail.run("while True: pass", cpu_seconds=1).signal == signal.SIGKILL
    assert jail.run("out = 5").out == 5


def test_threads_are_limited(jail: Driver) -> None:
    only(jail, "namespaces")
    result = jail.run("""
import threading
threading.stack_size(1 << 16)
stop, out = threading.Event(), 0
try:
    for _ in range(2000):
        threading.Thread(target=stop.wait, daemon=True).start(); out += 1
except RuntimeError: pass
stop.set()
""")
    assert result.error == "" and 100 < result.out < 300


def test_nothing_survives_a_program(jail: Driver) -> None:
    dirty = jail.run("""
import os
os.makedirs('a/' * 200)
open('x', 'w').write('left'); open('.stdin', 'w').write('left')
os.symlink('/', 'root'); os.mkdir('closed', 0)
for i in range(60): os.mkdir('deep'); os.chdir('deep')
if os.getcwd().startswith('/tmp/deep'):
    open('/dev/shm/x', 'w').write('left')
""")
    assert dirty.error == ""
    assert jail.run("import os; out = os.listdir('.')").out == []
    if jail.level == "namespaces":
        assert jail.run("import os; out = [os.getcwd(), os.listdir('/dev/shm')]").out == ["/tmp", []]


def test_links_out_of_the_scratch_directory_are_not_followed(jail: Driver, tmp_path: Path) -> None:
    (reachable(tmp_path) / "kept").write_text("x")
    assert not jail.run(f"""
import os
os.mkdir('e'); os.symlink({str(tmp_path)!r}, 'd'); os.symlink({str(tmp_path)!r}, 'e/d')
""").error
    assert jail.run("import os; out = os.listdir('.')").out == []
    assert (tmp_path / "kept").read_text() == "x"


def test_tmp_is_capped(jail: Driver) -> None:
    only(jail, "namespaces")
    full = jail.run("""
import os
out = 0
try:
    while True: open(f'/tmp/{out}', 'wb').write(bytes(1 << 20)); out += 1
except OSError as error: out = [out, error.strerror]
""")
    assert full.out[1] == "No space left on device" and full.out[0] <= 16
    many = jail.run("""
out = 0
try:
    while True: open(f'/dev/shm/{out}', 'wb').close(); out += 1
except OSError as error: out = [out, error.strerror]
""")
    assert many.out[1] == "No space left on device" and many.out[0] < 10000


@pytest.mark.parametrize("who", WHO)
def test_paths_below_tmp_and_through_links(tmp_path: Path, who: str) -> None:
    """A virtual environment is often in /tmp, behind a link, and outlives the fresh /tmp."""
    place = reachable(tmp_path) / "venv"
    place.mkdir()
    (place / "module.py").write_text("VALUE = 7")
    (tmp_path / "link").symlink_to(place)
    driver = start(
        ("namespaces", who), tmp_path, read_only=(str(tmp_path / "link"),), path=[str(tmp_path / "link")],
        without_mount_setattr=True,
    )  # fmt: skip
    for _ in range(3):
        result = driver.run(f"""
import module, os
open('/tmp/x', 'w').write('x')
out = [module.VALUE, os.listdir({str(tmp_path)!r})]
try: open({str(place / "y")!r}, 'w'); out.append('written')
except OSError: pass
""")
        assert result.error == "" and result.out[0] == 7 and "written" not in result.out
    driver.close()
    assert sorted(path.name for path in place.iterdir() if path.name != "__pycache__") == ["module.py"]


@pytest.mark.parametrize("path", ["/", "/proc", "/tmp", "/dev/shm", "/no/such/place"])
def test_paths_that_cannot_be_shown(tmp_path: Path, path: str) -> None:
    start(("namespaces", WHO[0]), tmp_path).close()
    with pytest.raises(Died, match=f"read_only: .*{path}"):
        Driver("namespaces", False, tmp_path, read_only=(path,))


def test_numpy_in_the_jail(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    packages = str(Path(numpy.__file__).parent.parent)
    driver = start(("namespaces", WHO[0]), tmp_path, read_only=(packages,), path=[packages])
    result = driver.run("import numpy; out = float((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum())")
    assert (result.out, result.error) == (27e6, "")
    driver.close()


def test_the_cost(jail: Driver) -> None:
    """Far from a measurement, but a namespace set or an interpreter start a program would show."""
    runs = [jail.run("out = 1") for _ in range(40)]
    assert sorted(run.confine_us for run in runs)[20] < 8000
    assert sorted(run.clean_us for run in runs)[20] < 4000
