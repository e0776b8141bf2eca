#!/usr/bin/env python3
"""Counts which calls real programs make; the weights of src/codegen/weights.cc rest on it.

Each script of tests/programs is run once with its program under strace(1). A call's rate is its share of the calls of a
program, in calls of 10,000, averaged over the programs; each program counts alike, however many calls it makes.

usage: call_rates.py [NAME...]
"""

import collections
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import programs_test  # noqa: E402

ROW = re.compile(r"^\s*(\d+)\s+(\w+)$", re.MULTILINE)


def shares_of(name):
    """What part of a program's calls each call is."""
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        # A script may start its program more than once: each start has a file of its own. It may send signals too, so the
        # program is the child that the script knows (-D), and the counts come a little after its end.
        runner = pathlib.Path(folder) / "count"
        runner.write_text(f'#!/bin/sh\nexec strace -D -f -qq -c -U calls,name -o "$(mktemp {folder}/XXXXXX.counts)" "$@"\n')
        runner.chmod(0o755)
        programs_test.run_script(name, runner, "root")
        for file in pathlib.Path(folder).glob("*.counts"):
            while file.stat().st_size == 0:
                time.sleep(0.01)
            for count, call in ROW.findall(file.read_text()):
                counts[call] += int(count)
    counts.pop("total", None)
    total = sum(counts.values())
    if total == 0:
        sys.exit(f"call_rates: {name}: nothing was counted; is strace installed?")
    return {call: count / total for call, count in counts.items()}


def main():
    names = sys.argv[1:] or sorted(programs_test.REMOVED)
    rates = collections.Counter()
    for name in names:
        for call, share in shares_of(name).items():
            rates[call] += share * 10000 / len(names)
    print("call\tper_10000")
    for call, rate in sorted(rates.items(), key=lambda item: (-round(item[1]), item[0])):
        if round(rate) > 0:
            print(f"{call}\t{round(rate)}")


if __name__ == "__main__":
    main()
