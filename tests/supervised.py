"""What the tests of supervised programs share: each runs a Python program in a fresh directory under `callgate run`."""

import collections
import concurrent.futures
import contextlib
import faulthandler
import io
import json
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

CALLGATE = os.path.abspath(sys.argv.pop(1))
PYTHON = "/usr/bin/python3"
SYSTEM = '"/usr", "/etc", "/lib", "/lib64", "/proc", "/dev", "/sys"'
POLICY = """default: allow
io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)
openat: path under {%s} || path == "/" || path ~ "pipe:*" || path under "DIR/ok"; else -> errno(EACCES)
""" % SYSTEM


def audit_of(log):
    """What the audit log says, its last line included, which the supervisor writes after the program's end."""
    for _ in range(500):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        if lines and lines[-1]["event"] == "counts":
            break
        time.sleep(0.01)
    return lines


def is_over(pid):
    """Gone, or about to be: whoever adopts orphans may take its time."""
    try: return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError: return True


def stands_still(tid):
    try: return "\nState:\tT" in pathlib.Path(f"/proc/{tid}/status").read_text()
    except OSError: return True  # it has ended


def stop(pid):
    """All its threads stand still when this returns: the signal alone may take a while to arrive."""
    os.kill(pid, signal.SIGSTOP)
    while not all(map(stands_still, os.listdir(f"/proc/{pid}/task"))):
        time.sleep(0.001)


class Supervised(unittest.TestCase):
    """self.at holds the folder `ok`, where the program runs and which it may read and write, and `no`, with a secret."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.at = pathlib.Path(self.folder.name)
        (self.at / "ok").mkdir()
        (self.at / "no").mkdir()
        (self.at / "no" / "secret").write_text("secret\n")

    def start(self, program, **more):
        return self.start_command([PYTHON, "-I", "-c", textwrap.dedent(program)], **more)

    def start_command(self, command, extra="", policy=POLICY, options=(), prefix=(), **more):
        path = self.at / "p.cg"
        path.write_text(policy.replace("DIR", str(self.at)) + extra.replace("DIR", str(self.at)))
        command = [CALLGATE, "run", *options, str(path), "--", *prefix, *command]
        self.started = subprocess.Popen(command, cwd=self.at / "ok", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        **more)
        return self.started

    def finish(self, started, timeout=30):
        for _ in range(int(timeout * 10)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return started.communicate(timeout=0.1)
        started.kill()
        self.fail(f"hangs; printed {started.communicate()}")

    def run_program(self, program, **more):
        started = self.start(program, **more)
        out, err = self.finish(started)
        return started.returncode, out, err

    def supervisor_of(self, pid):
        for _ in range(3000):
            found = re.search(r"TracerPid:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
            if int(found[1]) and (self.at / "ok" / "ready").exists():
                return int(found[1])
            time.sleep(0.01)
        self.started.kill()
        self.fail(f"nobody supervises; printed {self.started.communicate()}")


def print_processes():
    """Where each of them waits, on standard error."""
    for folder in sorted(pathlib.Path("/proc").glob("[0-9]*"), key=lambda folder: int(folder.name)):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
            if not command: continue
            status = dict(re.findall(r"(\w+):\t(.*)", (folder / "status").read_text()))
            print(folder.name, status["PPid"], status["TracerPid"], status["State"][:1], command, file=sys.stderr)
            waits = collections.Counter(((task / "wchan").read_text(), (task / "syscall").read_text().split()[0])
                                        for task in (folder / "task").glob("[0-9]*"))
            for (where, call), threads in waits.items():
                print(f"    {threads} threads: {where} in call {call}", file=sys.stderr)


@contextlib.contextmanager
def ends_within(seconds):
    """Else this process ends, and says where everybody waited. The seconds are counted in sleeps: those in which the machine was paused
    are nobody's fault."""
    is_over = threading.Event()
    def watch():
        for _ in range(int(seconds * 10)):
            if is_over.wait(0.1): return
        print(f"\nnot over within {seconds} s; pid, parent, tracer, state:", file=sys.stderr)
        print_processes()
        faulthandler.dump_traceback()
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
    try: yield
    finally: is_over.set()


def run_alone(name):
    """One test of the program, by name: whether it passed, and what was to be said."""
    text = io.StringIO()
    suite = unittest.defaultTestLoader.loadTestsFromName(name, sys.modules["__main__"])
    with ends_within(200):
        result = unittest.TextTestRunner(text, verbosity=2).run(suite)
    return result.wasSuccessful() and not result.skipped, text.getvalue()


def main():
    """As unittest.main(), several at once: these tests wait for deadlines more than they compute."""
    if len(sys.argv) > 1:
        return unittest.main()
    cases = [test for suite in unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]) for test in suite]
    names = [test.id().removeprefix("__main__.") for test in cases]
    with concurrent.futures.ProcessPoolExecutor(6, multiprocessing.get_context("fork")) as pool:
        results = list(pool.map(run_alone, names))
    failures = [text for passed, text in results if not passed]
    print(*failures, f"{len(names) - len(failures)} passed, {len(failures)} failed", sep="\n")
    sys.exit(bool(failures) or not names)
