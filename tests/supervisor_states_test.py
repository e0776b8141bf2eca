#!/usr/bin/env python3
"""The supervisor is killed and stopped in every state of a call: strace(1) sends the signal when the thread that decides is in its
N-th system call of a kind. Between two of them lies every state: received, reading, opening, handing over, answering.

usage: supervisor_states_test.py CALLGATE
"""

import concurrent.futures
import signal
import subprocess
import time
import unittest

from supervised import Supervised

# What it gets of two files, again and again until it is told to end: all that was seen, what was seen last, and how long it took.
PROGRAM = """
    import os, time
    os.mkdir("ready")
    slowest, seen = 0, set()
    while not os.access("end", os.F_OK):
        last = []
        for name, begins in ("../no/secret", b"secret"), ("/etc/passwd", b"root:"):
            begin = time.monotonic()
            try:
                fd = os.open(name, os.O_RDONLY)
                last.append(name if os.read(fd, len(begins)) == begins else "another file"); os.close(fd)
            except OSError as error: last.append(error.errno)
            slowest = max(slowest, time.monotonic() - begin)
        seen |= set(last)
    print(sorted(map(str, seen)), last, slowest < 8)
"""
# A round of both calls makes each of these at least as often.
CALLS = [("process_vm_readv", 2), ("openat2", 2), ("statx", 1), ("ioctl", 8), ("close", 1)]
STATES = [(call, nth) for call, last in CALLS for nth in range(1, last + 1)]
STOPPED_FOR = 7  # seconds: longer than the deadline


class States(unittest.TestCase):
    def with_fault(self, fault, state):
        """Under a supervisor that gets the signal in that state; the program's status and output."""
        call, nth = state
        case = Supervised()
        case.setUp()
        try:
            started = case.start(PROGRAM)
            supervisor = case.supervisor_of(started.pid)
            log = case.at / "log"
            strace = subprocess.Popen(
                ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:signal={fault.name}:when={nth}", "-p",
                 str(supervisor)], stderr=subprocess.PIPE, text=True)
            if fault == signal.SIGSTOP:
                deadline = time.monotonic() + 20
                while not (log.exists() and "stopped by SIGSTOP" in log.read_text()):
                    self.assertLess(time.monotonic(), deadline, f"{state}: not reached")
                    time.sleep(0.02)
                time.sleep(STOPPED_FOR)
                strace.terminate()
                strace.wait()
                os.kill(supervisor, signal.SIGCONT)
                time.sleep(0.5)
                (case.at / "ok" / "end").touch()
            out, _ = case.finish(started)
            strace.communicate(timeout=20)
            return started.returncode, out
        finally:
            case.doCleanups()

    def in_all_states(self, fault):
        with concurrent.futures.ThreadPoolExecutor(len(STATES)) as pool:
            results = pool.map(lambda state: self.with_fault(fault, state), STATES)
            return dict(zip(STATES, results))

    def test_killed_in_any_state_it_takes_the_program_with_it(self):
        for state, result in self.in_all_states(signal.SIGKILL).items():
            with self.subTest(state):
                self.assertEqual(result, (-signal.SIGKILL, ""))

    def test_stopped_in_any_state_it_is_stood_in_for_and_goes_on(self):
        for state, (status, out) in self.in_all_states(signal.SIGSTOP).items():
            with self.subTest(state):
                self.assertEqual((status, out), (0, "['/etc/passwd', '110', '13'] [13, '/etc/passwd'] True\n"))


if __name__ == "__main__":
    unittest.main()
