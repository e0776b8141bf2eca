#!/usr/bin/env python3
"""What does a denied call cost?

A program is denied the same call over and over, as programs do that try again: its error comes from the kernel alone, or by
way of the supervisor, which looks whether it is to be reported. Rounds of all, interleaved; prints the median in microseconds
a call, with the least and the greatest.

usage: denials.py CALLGATE [ROUNDS] [CALLS-PER-ROUND]
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

POLICY = """default: errno(EPERM)
@system-service
override openat: flags & (O_ACCMODE|O_CREAT|O_TRUNC) == O_RDONLY
override fdatasync: else -> errno(EPERM)
"""
PROGRAM = """
import os, sys, time
def same_descriptor(i): os.fdatasync(1)
def same_path(i): os.open("denied", os.O_WRONLY | os.O_CREAT)
def new_path(i): os.open(f"denied{i}", os.O_WRONLY | os.O_CREAT)
call, calls = globals()[sys.argv[1]], int(sys.argv[2])
begin = time.perf_counter()
for i in range(calls):
    try: call(i)
    except PermissionError: pass
print((time.perf_counter() - begin) * 1e6 / calls)
"""


def main():
    callgate = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    calls = sys.argv[3] if len(sys.argv) > 3 else "5000"
    rows = {(call, option): [] for call in ("same_descriptor", "same_path", "new_path")
            for option in ("--no-supervisor", "")}
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "p.cg").write_text(POLICY)
        for _ in range(rounds):
            for (call, option), values in rows.items():
                command = [callgate, "run", *option.split(), "p.cg", "--", "/usr/bin/python3", "-I", "-c", PROGRAM, call, calls]
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True,
                                      env={**os.environ, "XDG_STATE_HOME": folder})
                values.append(float(done.stdout))
    print(f"{'':34} {'median us':>10} {'min':>7} {'max':>7}   ({rounds} rounds of {calls})")
    for (call, option), values in rows.items():
        name = f"{call.replace('_', ' ')}, {'the kernel alone' if option else 'reported'}"
        print(f"{name:34} {statistics.median(values):10.2f} {min(values):7.2f} {max(values):7.2f}")


if __name__ == "__main__":
    main()
