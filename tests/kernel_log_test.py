#!/usr/bin/env python3
"""`callgate explain` of the records that this kernel writes about a program that was denied, one for each action.

usage: kernel_log_test.py CALLGATE

Records come from the audit subsystem: as it tells every reader of its netlink group, and as it prints them into the kernel's log,
which it does for some only when there are many. Either will do. Needs root.
"""

import ctypes
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

CALLGATE = os.path.abspath(sys.argv.pop(1))
LIBC = ctypes.CDLL(None, use_errno=True)
NETLINK_AUDIT, READLOG, AUDIT_SECCOMP = 9, 1, 1326
SO_RCVBUFFORCE = 33
FLAG_LOG, SET_NAME, NO_NEW_PRIVS = 2, 15, 38
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}[os.uname().machine]


class Log:
    """Every record from now on, as lines of the two forms."""

    def __init__(self):
        self.sources = []
        try:
            audit = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
            audit.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
            audit.bind((0, READLOG))
            audit.setblocking(False)
            self.sources.append(("audit", audit, self.from_netlink))
        except OSError as error:
            print(f"no audit records by netlink: {error}")
        try:
            kmsg = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(kmsg, 0, os.SEEK_END)
            self.sources.append(("kmsg", kmsg, self.from_kmsg))
        except OSError as error:
            print(f"no kernel log: {error}")
        assert self.sources, "neither source of records can be read"

    @staticmethod
    def from_netlink(source):
        data = source.recv(1 << 16)
        _, kind = struct.unpack_from("=IH", data)
        return f"type={kind} msg={data[16:].decode(errors='replace').rstrip(chr(0))}"

    @staticmethod
    def from_kmsg(source):
        return os.read(source, 1 << 14).decode(errors="replace").split(";", 1)[1].split("\n")[0]

    def about(self, pid, timeout=10):
        """{source: line} of what was said about a process; the first waits for the other a little."""
        found, end = {}, time.monotonic() + timeout
        while len(found) < len(self.sources) and time.monotonic() < end:
            ready, _, _ = select.select([source for _, source, _ in self.sources], [], [], 0.2)
            for name, source, read in self.sources:
                if source not in ready:
                    continue
                try:
                    line = read(source)
                except (BlockingIOError, BrokenPipeError):
                    continue
                if f" pid={pid} " in line and f"type={AUDIT_SECCOMP} " in line:
                    found[name] = line
            if found:
                end = min(end, time.monotonic() + 1)
        return found

    def close(self):
        for _, source, _ in self.sources:
            os.close(source) if isinstance(source, int) else source.close()


def denied(filter_bytes):
    """Makes getppid(2) under the filter, in a child with a name of its own, as the last thing it does; (pid, wait status)."""
    pid = os.fork()
    if pid:
        return pid, os.waitpid(pid, 0)[1]
    array = ctypes.create_string_buffer(filter_bytes, len(filter_bytes))
    program = struct.pack("HxxxxxxP", len(filter_bytes) // 8, ctypes.addressof(array))
    LIBC.prctl(SET_NAME, b"victim")
    LIBC.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    if LIBC.syscall(SYS_SECCOMP, 1, FLAG_LOG, program) == 0:
        os.getppid()
    os._exit(0)


class KernelLog(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = pathlib.Path(folder.name)
        self.log = Log()
        self.addCleanup(self.log.close)
        self.exe = os.path.realpath("/proc/self/exe")

    def explain(self, lines, *arguments):
        done = subprocess.run([CALLGATE, "explain", *arguments], cwd=self.at, input=lines, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def check(self, action, outcome, signal_number=0):
        policy = f"default: allow\ngetppid: else -> {action}\n"
        (self.at / "a.cg").write_text(policy)
        done = subprocess.run([CALLGATE, "compile", "-f", "raw", "a.cg"], cwd=self.at, capture_output=True, check=True)
        pid, status = denied(done.stdout)
        self.assertEqual(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, signal_number)
        records = self.log.about(pid)
        self.assertTrue(records, f"the kernel said nothing about {action}")
        said = f"victim (pid {pid}, {self.exe})  getppid  → {outcome}\n"
        for source, line in records.items():
            with self.subTest(source):
                self.assertEqual(self.explain(f"something else\n{line}\n"), (0, said, ""), line)
                with_policy = self.explain(line + "\n", "-p", "a.cg")
                rule = f"  policy    {action}\n  rule      a.cg:2  else -> {action}\n"
                self.assertEqual(with_policy[1].split("  add")[0], said + (rule if action != "log" else
                                                                           "  policy    a.cg allows it: another filter decided this\n"))

    def test_kill(self):
        self.check("kill", "kill, SIGSYS", signal.SIGSYS)

    def test_kill_thread(self):
        self.check("kill_thread", "kill_thread, SIGSYS", signal.SIGSYS)

    def test_trap(self):
        self.check("trap(7)", "trap", signal.SIGSYS)

    def test_log(self):
        self.check("log", "log")

    def test_errno_that_the_filter_asks_to_be_logged(self):
        self.check("errno(EACCES)", "errno")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
