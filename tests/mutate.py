#!/usr/bin/env python3
"""Writes copies of sources in which the faults of faults.txt can be switched on, and a table of the faults.

usage: mutate.py SOURCE_DIR OUTPUT_DIR

In a copy, TEXT of fault 3 is `(::callgate::active_fault == 3 ? (FAULTY TEXT) : (TEXT))`.
"""

import pathlib
import sys

HEADER = "namespace callgate { extern int active_fault; }\n"


def read_faults(path):
    faults = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            faults.append(tuple(field.strip() for field in line.split(" ¦ ")))
    return faults


def mutated(source, path, faults):
    for number, (file, text, faulty, _) in enumerate(faults, 1):
        if file != path:
            continue
        if source.count(text) != 1:
            sys.exit(f"mutate.py: {path} has {source.count(text)} times '{text}', and faults.txt needs it once")
        source = source.replace(text, f"(::callgate::active_fault == {number} ? ({faulty}) : ({text}))")
    return f'{HEADER}#line 1 "{path}"\n{source}'


def main():
    root, output = map(pathlib.Path, sys.argv[1:])
    faults = read_faults(root / "tests/faults.txt")
    for path in sorted({fault[0] for fault in faults}):
        copy = mutated((root / path).read_text(encoding="utf-8"), path, faults)
        (output / pathlib.Path(path).name).write_text(copy, encoding="utf-8")
    rows = "".join(f'R"~({what})~",\n' for *_, what in faults)
    (output / "fault_names.inc").write_text(rows, encoding="utf-8")


if __name__ == "__main__":
    main()
