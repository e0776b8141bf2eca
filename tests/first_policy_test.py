#!/usr/bin/env python3
"""The five lines of 2011, verbatim, on a real process: it may write to descriptor 0 only, read from 1 and 2 only, and exit;
anything else, execve included, dies by SIGSYS. Every case runs with the supervisor and without.

usage: first_policy_test.py CALLGATE VICTIM
"""

import os
import signal
import subprocess
import sys
import tempfile

POLICY = """\
sys_read: (fd == 1) || (fd == 2)
sys_write: (fd == 0)
sys_exit: 1
sys_exit_group: 1
on_next_syscall: 1
"""
KILLED = -signal.SIGSYS
# Call, exit status, what the report says was denied.
CASES = [
    ("w0", 1, None), ("w1", KILLED, "write(fd=1 "), ("w2", KILLED, "write(fd=2 "),
    ("r1", 1, None), ("r2", 1, None), ("r0", KILLED, "read(fd=0 "), ("r3", KILLED, "read(fd=3, "),
    ("t", 5, None), ("p", KILLED, "getpid()"), ("e", KILLED, 'execve(filename="/bin/true", '),
]


def main():
    callgate, victim = map(os.path.abspath, sys.argv[1:])
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("first.cg", "w") as policy:
            policy.write(POLICY)
        for supervised in (True, False):
            for call, status, denied in CASES:
                # The report goes where standard error goes; that is a file which can also be read.
                with open("in", "wb+") as zero, open("out", "wb+") as one, open("err", "wb+") as two:
                    one.write(b"x"), two.write(b"x"), one.flush(), two.flush()
                    one.seek(0), two.seek(0)
                    command = [callgate, "run", *([] if supervised else ["--no-supervisor"]), "first.cg", "--", victim, call]
                    done = subprocess.run(command, stdin=zero, stdout=one, stderr=two)
                with open("err", encoding="utf-8") as file:
                    report = file.read().removeprefix("x")
                expected = f"denied  {denied}" if denied and supervised else ""
                wrong = done.returncode != status or (expected not in report if expected else "denied" in report)
                failed += wrong
                if wrong:
                    print(f"{call} supervised={supervised}: status {done.returncode}, expected {status}; report: {report!r}")
    print(f"{2 * len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
