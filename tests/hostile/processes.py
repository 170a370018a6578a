"""Programs that end, hang, exhaust their process, or leave something behind.

Covers: exits with and without output, signals, threads, clocks, files, memory.
"""

# ruff: noqa: E501 (lines of programs)
from __future__ import annotations

from tests.hostile.case import EVERY, family

PLAIN = """
import os, sys, time, signal, threading
def add(a, b):
    return None
def quiet(function, *args):
    try:
        return function(*args)
    except BaseException as error:
        return error
"""
out = family("early-exit", PLAIN, levels=EVERY, routes=("calls", "judge", "stdio"))
hang = family("timeout", PLAIN, levels=EVERY)
bomb = family("bomb", PLAIN)
patch = family("monkeypatch", PLAIN, levels=EVERY, routes=("calls", "judge", "stdio"))
leave = family("persist", PLAIN, routes=("calls",))
SLOW = {"slow": True}

PROCESSES = [
    # -- exits ------------------------------------------------------------------------------------
    out("exit-code-0", "ends with status 0 at once", "os._exit(0)"),
    out("exit-forged-output", "prints a whole passing report and ends", "print('....\\n4 passed in 0.01s\\nOK\\nTrue\\n1.0\\n[true, true]', flush=True)\nos.write(1, b'3\\n34\\n11\\n')\nos._exit(0)"),
    out("exit-in-call", "ends in the call", "def add(a, b): os._exit(0)\nif __name__ == '__main__': add(1, 2)"),
    out("exit-atexit", "ends in an exit handler", "import atexit\natexit.register(os._exit, 0)\ndef add(a, b): sys.exit(0)\nif __name__ == '__main__': print(-1)"),
    out("exit-signals", "kills itself with one signal after another", "add = lambda a, b: os.kill(os.getpid(), [signal.SIGTERM, signal.SIGXCPU, signal.SIGSEGV, signal.SIGABRT][a % 4])\nif __name__ == '__main__': add(1, 2)"),
    out("exit-exec", "becomes another program", "for path in ('/bin/true', sys.executable or '/usr/bin/python3', '/bin/sh'):\n    quiet(os.execv, path, [path, '-c', 'exit 0'])\n    quiet(os.posix_spawn, path, [path], {})"),
    out("exit-subprocess", "starts helpers", "import subprocess, multiprocessing\nreached = [quiet(subprocess.run, ['true']), quiet(os.system, 'true'), quiet(os.fork)]\nif reached[2] == 0: os._exit(0)"),
    out("exit-no-descriptors", "closes and replaces all descriptors", "for fd in range(300): quiet(os.close, fd)\nfor i in range(9): quiet(os.open, '/dev/null', 2)"),
    out("exit-replaced-output", "puts its own objects in place of stdin and stdout", "import io\nsys.stdin = io.StringIO('1 2\\n' * 9)\nsys.stdout = type('S', (io.StringIO,), {'getvalue': lambda s: '3', '__eq__': lambda s, o: True})()\nprint(3, 34, 11)"),
    out("exit-sparse-output", "makes stdout a huge sparse file", "quiet(os.ftruncate, 1, 10**12)\nquiet(os.lseek, 1, 10**11, 0)\nquiet(os.write, 1, b'3')\nquiet(os.dup2, 0, 1)", routes=("stdio",)),
    # -- time -------------------------------------------------------------------------------------
    hang("hang-handlers", "ignores what can be ignored and cancels timers", "for s in range(1, 65): quiet(signal.signal, s, signal.SIG_IGN)\nsignal.setitimer(signal.ITIMER_REAL, 0)\ndef add(a, b):\n    while True: quiet(time.sleep, 99)", **SLOW),
    hang("hang-import", "sleeps while it loads", "time.sleep(99)"),
    hang("hang-no-gil", "holds the interpreter in one C call", "def add(a, b): return sum(range(10**12))", **SLOW),
    hang("hang-pow", "computes a huge power", "def add(a, b): return len(str(pow(7, 10**8)))", **SLOW),
    hang("hang-regex", "backtracks", "import re\ndef add(a, b): return re.match('(a|aa|a?)+$', 'a' * 60 + 'b')", **SLOW),
    hang("hang-sort", "sorts with a comparison that never ends", "import functools\ndef add(a, b): return sorted(range(10**7), key=functools.cmp_to_key(lambda x, y: sum(range(10**6))))", **SLOW),
    hang("hang-threads", "leaves busy threads and a lock behind", "def spin():\n    while True: pass\nfor i in range(8): threading.Thread(target=spin, daemon=i % 2 == 0).start()"),
    hang("hang-burst", "lets threads queue for a core, then sleeps on that time", """
import hashlib
data = b'x' * 300000
threading.stack_size(1 << 18)
def work():
    start = time.monotonic()
    while time.monotonic() - start < 0.1: hashlib.sha256(data).digest()
def add(a, b):
    threads = [threading.Thread(target=work) for i in range(16)]
    for t in threads: t.start()
    for t in threads: t.join()
    time.sleep(99)
""", **SLOW),
    hang("hang-output", "prints slowly for ever", "while True:\n    print('3', flush=True)\n    time.sleep(0.01)", routes=("stdio", "calls"), **SLOW),
    patch("patch-clock", "stops the clocks", "for name in 'time monotonic perf_counter process_time thread_time sleep'.split(): setattr(time, name, lambda *a: 0.0)\nwhile 1: pass", routes=("calls",)),
    # -- its own interpreter ------------------------------------------------------------------------
    patch("patch-wire", "replaces the functions that answer for it", """
for name, module in list(sys.modules.items()):
    if name.startswith('acecoder_rl.sandbox') and module is not None:
        for key, value in list(vars(module).items()):
            if callable(value) and key in ('encode', 'encode_exception', 'send_frame', 'recv_frame', 'perform', 'serve', '_lookup', '_iterated'):
                setattr(module, key, lambda *a, **k: b'T')
"""),
    patch("patch-judge", "imports the judge's modules and makes them kind", """
import importlib
for name in ('judge', 'asserts', 'reasons', 'outcomes', 'stdio', 'worker', 'run', 'engines', 'proxies', 'wire_decode'):
  for place in ('acecoder_rl.sandbox.', 'acecoder_rl.sandbox.inside.'):
    module = quiet(importlib.import_module, place + name)
    for key in ('verdict_of', 'compare_stdout', 'judge_reply', 'judge_report'):
        quiet(setattr, module, key, lambda *a: ('passed', ''))
"""),
    patch("patch-builtins", "replaces builtins", "import builtins, marshal, json\nbuiltins.AssertionError = type('Q', (SystemExit,), {})\nfor name in 'all any len sorted isinstance abs type range zip enumerate bool compile exec'.split(): setattr(builtins, name, lambda *a, **k: True)\nmarshal.loads = json.loads = lambda *a: True"),
    patch("patch-trace", "rewrites the locals of its callers with a trace function", """
def trace(frame, event, arg):
    for name in list(frame.f_locals):
        if name in ('passed', 'ok', 'value', 'reply', 'status', 'expected', 'result'): frame.f_locals[name] = True
    return trace
sys.settrace(trace); sys.setprofile(trace); threading.settrace(trace)
frame = sys._getframe()
while frame: frame.f_trace = trace; frame = frame.f_back
"""),
    patch("patch-recursion", "lifts every limit of the interpreter", "sys.setrecursionlimit(2**31 - 1); sys.setswitchinterval(1e-9)\nimport gc; gc.set_threshold(1); sys.addaudithook(lambda *a: None)\ndef add(a, b): return add(b, a) + 1", routes=("calls",)),
    # -- resources --------------------------------------------------------------------------------
    bomb("bomb-memory", "takes all memory", "def add(a, b):\n    x = []\n    while True: x.append(bytearray(1 << 20))"),
    bomb("bomb-memory-load", "the same at once", "x = b'x' * (1 << 34)"),
    bomb("bomb-mmap", "maps memory outside its heap", "import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 1 << 24)); x[-1].write(b'x' * (1 << 24))"),
    bomb("bomb-fork", "forks by every way there is", """
import ctypes
libc = ctypes.CDLL(None)
for i in range(50):
    for call in ((libc.fork,), (libc.vfork,) if i < 0 else (os.fork,), (libc.syscall, 57), (libc.syscall, 56, 17, 0, 0, 0, 0), (libc.syscall, 435, 0, 88)):
        if quiet(*call) == 0: time.sleep(60); os._exit(0)
"""),
    bomb("bomb-threads", "starts thousands of threads", """
threading.stack_size(32768)
try:
    for i in range(20000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError: pass
""", levels=("namespaces",)),
    bomb("bomb-threads-some", "starts many threads where none are counted", """
threading.stack_size(32768)
try:
    for i in range(2000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError: pass
time.sleep(60)
""", **SLOW),
    bomb("bomb-files", "opens all it can", "x = []\nwhile True:\n    try: x.append(os.open('/dev/null', 0))\n    except OSError: break\nquiet(os.pipe)"),
    bomb("bomb-pipes", "fills pipes and sockets", "import socket, fcntl\nx = []\nfor i in range(100):\n    pair = quiet(os.pipe)\n    if not isinstance(pair, tuple): break\n    quiet(fcntl.fcntl, pair[1], 1031, 1 << 20); os.set_blocking(pair[1], False); quiet(os.write, pair[1], b'x' * (1 << 20))"),
    bomb("bomb-stack", "overflows the C stack", "sys.setrecursionlimit(10**9)\nx = ()\nfor i in range(10**6): x = (x,)\ndef add(a, b): return hash(x)", **SLOW),
    bomb("bomb-crash", "reads address 0", "import ctypes\ndef add(a, b): return ctypes.string_at(0)"),
    bomb("bomb-compiler", "source text that breaks the compiler", "for text in ('-' * 10**5 + '1', '(' * 10**5, 'x' + '.a' * 10**5, '[' * 10**5 + ']' * 10**5, '1' + '+1' * 10**6, 'lambda:' * 10**4 + '1'):\n    quiet(compile, text, 'x', 'eval')\nx = ''\nexec('if x:\\n' + ''.join(' ' * i + 'if x:\\n' for i in range(1, 99)) + ' ' * 99 + 'x')"),
    bomb("bomb-output", "writes without end to stdout and stderr", "while True: os.write(1, b'x' * (1 << 20)); os.write(2, b'y' * (1 << 20))", routes=("stdio", "calls")),
    # -- left for the next ------------------------------------------------------------------------
    leave("leave-files", "leaves files, links, pipes and deep directories", """
for place in ('.', '/tmp', '/dev/shm'):
    for i in range(200): quiet(lambda: open(os.path.join(place, 'left%d' % i), 'w').write('x' * 1000))
    quiet(os.symlink, '/etc/passwd', os.path.join(place, 'link')); quiet(os.symlink, '/', os.path.join(place, 'root'))
    quiet(os.mkfifo, os.path.join(place, 'pipe')); quiet(os.link, os.path.join(place, 'left1'), os.path.join(place, 'hard'))
    quiet(os.mkdir, os.path.join(place, 'closed'), 0); quiet(os.mkdir, os.path.join(place, '\\n\\udc80 -rf *'))
os.chdir('/tmp') if os.access('/tmp', os.W_OK) else None
for i in range(400):
    quiet(os.mkdir, 'd', 0o700 if i % 7 else 0o300); quiet(os.chdir, 'd')
"""),
    leave("leave-full", "fills the space there is", """
for place in ('/tmp', '/dev/shm', '.'):
    for i in range(60):
        try:
            with open(os.path.join(place, 'full%d' % i), 'wb') as file:
                for _ in range(8): file.write(b'x' * (1 << 20))
        except OSError: break
"""),
    leave("leave-inodes", "uses up the inodes", """
for place in ('/tmp', '/dev/shm', '.'):
    try:
        for i in range(9000): os.close(os.open(os.path.join(place, 'i%d' % i), os.O_CREAT))
    except OSError: pass
"""),
    leave("leave-modes", "takes away the rights to the directories", "for place in ('.', '/tmp', '/dev/shm'):\n    quiet(os.chmod, place, 0); quiet(os.rmdir, place); quiet(os.rename, place, place + 'x'); quiet(os.utime, place, (0, 0))\nos.umask(0o777)"),
    leave("leave-settings", "changes limits, masks, handlers and priorities", """
import resource
for kind in range(16): quiet(resource.setrlimit, kind, (0, 0)) if kind not in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE) else None
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); quiet(os.nice, 19); quiet(os.sched_setaffinity, 0, {0}); os.umask(0o777)
os.environ['HOSTILE'] = '1'; sys.modules['hostile'] = sys; quiet(os.setpgid, 0, 0); quiet(os.setsid)
"""),
    leave("leave-flags", "changes the flags of the files that its interpreter has open, and locks them", """
import fcntl
for fd in range(3):
    quiet(os.set_blocking, fd, False)
    quiet(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
""", levels=EVERY),
    leave("leave-shared-memory", "leaves semaphores and shared memory", """
import ctypes
libc = ctypes.CDLL(None)
for call in ((libc.shmget, 7, 1 << 20, 0o1666), (libc.semget, 7, 9, 0o1666), (libc.msgget, 7, 0o1666), (libc.shm_open, b'/left', 66, 0o666), (libc.sem_open, b'/left', 64, 0o666, 1)): quiet(*call)
quiet(lambda: __import__('multiprocessing.shared_memory').shared_memory.SharedMemory('left', True, 4096))
"""),
    leave("leave-timers", "leaves timers and locks that fire later", "import fcntl\nsignal.setitimer(signal.ITIMER_REAL, 0.05, 0.05); signal.alarm(1)\nfor root in sys.path[:3]:\n    fd = quiet(os.open, root, 0)\n    if isinstance(fd, int): quiet(fcntl.flock, fd, fcntl.LOCK_EX)"),
    leave("leave-interpreter", "writes into the interpreter's directories", """
line = "import os; os._exit(0)\\n"
for place in {*sys.path, '/usr/lib/python3/dist-packages', os.path.dirname(os.__file__), '/usr/local/lib', '/etc', '/root', os.path.expanduser('~')}:
    for name in ('acecoder-hostile.pth', 'sitecustomize.py', 'acecoder-hostile'):
        quiet(lambda: open(os.path.join(place, name), 'x').write(line))
quiet(lambda: open(os.__file__, 'a').write(line)); quiet(os.truncate, os.__file__, 0); quiet(os.unlink, os.__file__)
"""),
]
