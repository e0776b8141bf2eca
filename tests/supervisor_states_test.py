#!/usr/bin/env python3
"""Who takes part in a call is killed and stopped in every state of it: strace(1) sends a signal when the process that acts is in its N-th
system call of a kind. Between two of those lies every state: received, reading, opening, handing over, answering, idle.

usage: supervisor_states_test.py CALLGATE
"""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import time
import unittest

from supervised import Supervised, main

# What it gets of two files, again and again until it is told to end: all that was seen, what was seen last, and how long it took.
# That is counted in short sleeps, as the supervisor counts: on a busy machine both take longer.
PROGRAM = """
    import ctypes, os, threading, time
    BEGIN
    sleeps = 0
    def count():
        global sleeps
        while True: time.sleep(0.01); sleeps += 1
    def rounds():
        threading.Thread(target=count, daemon=True).start()
        slowest, seen = 0, set()
        while True:
            is_last = os.access("end", os.F_OK)
            last = []
            for name, begins in ("../no/secret", b"secret"), ("/etc/passwd", b"root:"):
                begin = sleeps
                try:
                    fd = os.open(name, os.O_RDONLY)
                    last.append(name if os.read(fd, len(begins)) == begins else "another file"); os.close(fd)
                except OSError as error: last.append(error.errno)
                slowest = max(slowest, sleeps - begin)
            if not seen: os.makedirs("ready", exist_ok=True)  # nobody is asked about that
            seen |= set(last)
            if is_last: break
            time.sleep(0.002)  # dozens of these run at once
        print(sorted(map(str, seen)), last, slowest < 800)
    rounds()
"""
IN_NAMESPACE = "assert ctypes.CDLL(None).unshare(0x10000000) == 0"  # CLONE_NEWUSER

# A round of both calls makes each of these at least as often.
BY_SUPERVISOR = [("process_vm_readv", 2), ("openat2", 2), ("statx", 1), ("ioctl", 8), ("close", 1)]
BY_HELPER = [("recvmsg", 4), ("process_vm_readv", 2), ("openat2", 2), ("sendmsg", 3)]
STOPPED_FOR = 7  # seconds: longer than the deadline


def states(calls):
    return [(call, nth) for call, last in calls for nth in range(1, last + 1)]


class States(unittest.TestCase):
    def in_all_states(self, calls, check):
        """check(state) for all of them, at once, since most of it is waiting."""
        all_states = states(calls)
        with concurrent.futures.ThreadPoolExecutor(len(all_states)) as pool:
            for state, result in zip(all_states, pool.map(check, all_states)):
                with self.subTest(state):
                    self.assertIn(*result)

    def helpers_of(self, case):
        """Usually one; a busy machine can need a second one meanwhile."""
        for _ in range(500):
            found = []
            for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
                try:
                    if comm.read_text() == "callgate-helper\n" and str(case.at) in (comm.parent / "cmdline").read_text():
                        found.append(int(comm.parent.name))
                except OSError:
                    pass
            if found: return found
            time.sleep(0.01)
        self.fail("nobody helps")

    def reach(self, case, find, sent, state):
        """The first of the processes that find() names to come to that state gets that signal. One that is attached to for too long is
        given up by its supervisor: then its successor is meant."""
        call, nth = state
        log = case.at / "log"
        words = "stopped by SIGSTOP" if sent == signal.SIGSTOP else "killed by SIGKILL"
        strace = None
        for _ in range(1000):
            if log.exists() and words in log.read_text():
                return strace
            if strace is None or strace.poll() is not None:
                pids = find()
                strace = subprocess.Popen(
                    ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:signal={sent.name}:when={nth}",
                     *(f"-p{pid}" for pid in pids)], stderr=subprocess.DEVNULL)
                case.addCleanup(lambda strace=strace: (strace.kill(), strace.wait()))
            time.sleep(0.02)
        self.fail(f"{state}: not reached by {pids}, which did:\n{log.read_text()[-2000:]}")

    def go_on(self, strace, pid):
        strace.terminate()
        strace.wait()
        os.kill(pid, signal.SIGCONT)

    def end(self, case, started):
        (case.at / "ok" / "end").touch()
        out, _ = case.finish(started)
        return started.returncode, out

    def under(self, program, play):
        """What play(case, started) says of the program."""
        case = Supervised()
        case.setUp()
        try:
            return play(case, case.start(program))
        finally:
            case.started.kill()
            case.doCleanups()

    def test_killed_supervisor_takes_the_program_with_it(self):
        def check(state):
            def play(case, started):
                supervisor = case.supervisor_of(started.pid)
                self.reach(case, lambda: [supervisor], signal.SIGKILL, state)
                out, _ = case.finish(started)
                return (started.returncode, out), [(-signal.SIGKILL, "")]
            return self.under(PROGRAM.replace("BEGIN", ""), play)
        self.in_all_states(BY_SUPERVISOR, check)

    def test_stopped_supervisor_is_stood_in_for_and_goes_on(self):
        def check(state):
            def play(case, started):
                supervisor = case.supervisor_of(started.pid)
                strace = self.reach(case, lambda: [supervisor], signal.SIGSTOP, state)
                time.sleep(STOPPED_FOR)
                self.go_on(strace, supervisor)
                time.sleep(0.5)
                return self.end(case, started), [(0, "['/etc/passwd', '110', '13'] [13, '/etc/passwd'] True\n")]
            return self.under(PROGRAM.replace("BEGIN", ""), play)
        self.in_all_states(BY_SUPERVISOR, check)

    def test_program_killed_or_stopped_leaves_the_supervisor_whole(self):
        """The supervisor is held in that state meanwhile. The program's parent asks afterwards."""
        def check(state):
            def play(case, started):
                supervisor = case.supervisor_of(started.pid)
                child = int((case.at / "ok" / "child").read_text())
                for sent in signal.SIGSTOP, signal.SIGKILL:
                    strace = self.reach(case, lambda: [supervisor], signal.SIGSTOP, state)
                    (case.at / "log").unlink()
                    os.kill(child, sent)
                    self.go_on(strace, supervisor)
                    time.sleep(0.05)
                    if sent == signal.SIGSTOP: os.kill(child, signal.SIGCONT)
                time.sleep(0.1)
                descriptors = len(os.listdir(f"/proc/{supervisor}/fd"))
                return (descriptors < 16, self.end(case, started)), [(True, (0, "['/etc/passwd', '13'] [13, '/etc/passwd'] True\n"))]
            return self.under(PROGRAM.replace("BEGIN", """
    child = os.fork()
    if child: assert os.waitpid(child, 0)[1] == 9
    else: open("child", "w").write(str(os.getpid()))"""), play)
        self.in_all_states(BY_SUPERVISOR, check)

    def test_killed_helper_costs_one_call_at_most(self):
        def check(state):
            def play(case, started):
                case.supervisor_of(started.pid)
                self.reach(case, lambda: self.helpers_of(case), signal.SIGKILL, state)
                time.sleep(0.2)
                return self.end(case, started), [(0, f"{seen} [13, '/etc/passwd'] True\n")
                                                 for seen in (["/etc/passwd", "13"], ["/etc/passwd", "1", "13"], ["1", "13"])]
            return self.under(PROGRAM.replace("BEGIN", IN_NAMESPACE), play)
        self.in_all_states(BY_HELPER, check)

    def test_stopped_helper_holds_up_a_call_until_the_deadline(self):
        def check(state):
            def play(case, started):
                case.supervisor_of(started.pid)
                self.reach(case, lambda: self.helpers_of(case), signal.SIGSTOP, state)
                for _ in range(20):  # another one, which is perhaps being made, would serve instead of it
                    for helper in self.helpers_of(case): os.kill(helper, signal.SIGSTOP)
                    time.sleep(0.01)
                time.sleep(STOPPED_FOR)
                return self.end(case, started), [(0, "['/etc/passwd', '110', '13'] [13, '/etc/passwd'] True\n")]
            return self.under(PROGRAM.replace("BEGIN", IN_NAMESPACE), play)
        self.in_all_states(BY_HELPER, check)


if __name__ == "__main__":
    main()
