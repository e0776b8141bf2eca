#!/usr/bin/env python3
"""What does it cost to start a program under callgate?

Starts /bin/true plainly, under bubblewrap and under `callgate run`, and callgate's own quick verbs, interleaved in one run on
one CPU. Prints the median of the rounds in milliseconds, its ratio to the plain start, and the least and greatest round.

usage: startup.py CALLGATE [ROUNDS] [STARTS-PER-ROUND]
"""

import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

POLICY = "default: errno(EPERM)\n@system-service\n"


def milliseconds(command, starts):
    """Wall time of one start and end of `command`, averaged over `starts`."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    begin = time.perf_counter()
    for _ in range(starts):
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            sys.exit(f"{' '.join(command)}: wait status {status}")
    return (time.perf_counter() - begin) * 1000 / starts


def main():
    callgate = os.path.abspath(sys.argv[1])
    rounds = max(7, int(sys.argv[2]) if len(sys.argv) > 2 else 9)
    starts = int(sys.argv[3]) if len(sys.argv) > 3 else 50
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        policy = pathlib.Path(folder) / "true.cg"
        policy.write_text(POLICY)
        commands = {"plain": ["/bin/true"]}
        if bwrap := shutil.which("bwrap"):
            commands["bwrap --bind / /"] = [bwrap, "--dev-bind", "/", "/", "/bin/true"]
        commands |= {
            "callgate run": [callgate, "run", str(policy), "--", "/bin/true"],
            "callgate run --no-supervisor": [callgate, "run", "--no-supervisor", str(policy), "--", "/bin/true"],
            "callgate --version": [callgate, "--version"],
            "callgate check": [callgate, "check", str(policy)],
        }
        times = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(milliseconds(command, starts))
    plain = statistics.median(times["plain"])
    print(f"{'':30} {'median ms':>10} {'x plain':>8} {'min':>7} {'max':>7}   ({rounds} rounds of {starts})")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:30} {median:10.2f} {median / plain:8.1f} {min(values):7.2f} {max(values):7.2f}")


if __name__ == "__main__":
    main()
