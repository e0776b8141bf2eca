#!/usr/bin/env python3
"""The figures of our filters for some well-known profiles, beside what is to be reached.

PROFILES is a directory of rule lists as tools/rules_to_policy.py reads them. For each list and for Docker's on three ABIs: the
instructions, the paths and their goals, and once more with a profile that makes the checked calls hot ("hot first"). See
compile_figures.cc for what the columns are. Exits 1 if a goal is missed.

usage: compile_figures.py COMPILE_FIGURES PROFILES
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# name: list, ABIs, goals by column
ROWS = {
    "Docker": ("moby", [], {"size": 72, "mean": 9.1, "worst uncached": 14, "hot worst": 11, "ms": 0.13, "cached": 300}),
    "Docker, three ABIs": ("moby", ["x86_64", "i386", "x32"],
                           {"size": 200, "worst uncached": 15, "ms": 0.5, "cached": 300}),
    "@system-service": ("syssvc", [], {"size": 26, "mean": 8.8}),
    "OpenSSH": ("sshlike", [], {"size": 78, "mean": 9.2, "hot mean": 10.5}),
    "Firecracker vmm": ("fc_vmm", [], {"size": 150, "mean": 10, "hot mean": 10}),
    "Firecracker vcpu": ("fc_vcpu", [], {"size": 89, "mean": 10, "hot mean": 10}),
    "firejail denylist": ("fjdefault", [], {"size": 74, "mean": 9.7}),
}
COLUMNS = ["size", "mean", "worst", "mean uncached", "worst uncached", "mean checked", "worst checked", "cached", "ms", "hot size",
           "hot mean", "hot worst"]


def measure(program, profiles, folder):
    """Figures by row name."""
    paths = []
    for name, (rules, abis, _) in ROWS.items():
        path = pathlib.Path(folder) / f"{name.replace(' ', '_')}.cg"
        path.write_text(subprocess.run(
            [sys.executable, ROOT / "tools/rules_to_policy.py", ROOT / "data/syscalls.tsv", f"{profiles}/{rules}.rules", *abis],
            check=True, capture_output=True, text=True).stdout)
        paths.append(str(path))
    lines = subprocess.run([program, *paths], check=True, capture_output=True, text=True).stdout.splitlines()
    figures = {}
    for name, plain, hot in zip(ROWS, lines[::2], lines[1::2]):
        size, mean, worst, u_mean, u_worst, c_mean, c_worst, cached, time = map(float, plain.split()[1:])
        hot_size, *_, hot_mean, hot_worst, _, _ = map(float, hot.split()[1:])
        figures[name] = dict(zip(COLUMNS, [size, mean, worst, u_mean, u_worst, c_mean, c_worst, cached, time / 1000, hot_size,
                                           hot_mean, hot_worst]))
    return figures


def main():
    program, profiles = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(program, profiles, folder)
    print(f"{'':20}" + "".join(f"{column:>16}" for column in COLUMNS))
    missed = []
    for name, row in figures.items():
        goals = ROWS[name][2]
        print(f"{name:20}" + "".join(f"{row[column]:>16.3g}" for column in COLUMNS))
        print(f"{'  goal':20}" + "".join(f"{goals.get(column, ''):>16}" for column in COLUMNS))
        for column, goal in goals.items():
            if row[column] < goal if column == "cached" else row[column] > goal:
                missed.append(f"{name}: {column} {row[column]:.4g}, goal {goal}")
    print("\n".join(["missed:", *missed]) if missed else "every goal is reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
