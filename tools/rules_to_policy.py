#!/usr/bin/env python3
"""Turns a benchmark rule list into a policy.

A rule list has one rule a line: `NAME ACTION DATA NARGS {INDEX OP VALUE MASKED_VALUE}...`, the first line is
`default ACTION DATA`. Conditions of a rule are ANDed, rules of one name are ORed, all comparisons are unsigned and 64 bits
wide (libseccomp's meaning), so every argument is written `argN as u64`, on ABIs with 32-bit registers `argN as u32`. The
policy speaks for the given ABIs (x86_64 if none is given); names without a number on one of them are left out there.

usage: rules_to_policy.py SYSCALLS.TSV RULES [ABI...] > POLICY.cg
"""

import csv
import sys

OPERATORS = {"EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}


def action(kind, data):
    return {"ALLOW": "allow", "KILL": "kill", "KILL_PROCESS": "kill", "KILL_THREAD": "kill_thread", "LOG": "log",
            "ERRNO": f"errno({data})", "TRAP": f"trap({data})", "TRACE": f"trace({data})"}[kind]


NARROW = {"i386", "arm"}  # 32-bit registers


def condition(abi, index, op, value, masked):
    operand = f"arg{index} as {'u32' if abi in NARROW else 'u64'}"
    if op == "MASKED_EQ":
        return f"{operand} & {value} == {masked}"
    return f"{operand} {OPERATORS[op]} {value}"


def predicate(abi, fields):
    """`1` for a rule without conditions."""
    return " && ".join(condition(abi, *fields[i:i + 4]) for i in range(0, len(fields), 4)) or "1"


def print_rules(abi, prefix, numbers, rules):
    """The lines of one ABI."""
    clauses = {}
    for name, kind, data, _, *fields in rules:
        if numbers.get(name):
            clauses.setdefault(name, []).append((predicate(abi, fields), action(kind, data)))
    for name, all_clauses in clauses.items():
        # A rule without conditions makes the others of the same action superfluous.
        if (always := next((c for c in all_clauses if c[0] == "1"), None)) is not None:
            all_clauses = [always]
        # Same action: one clause of alternatives.
        actions = {}
        for text, what in all_clauses:
            actions.setdefault(what, []).append(text)
        parts = []
        for what, texts in actions.items():
            joined = texts[0] if len(texts) == 1 else " || ".join(f"({text})" for text in texts)
            parts.append(joined if what == "allow" else f"{joined} -> {what}")
        print(f"{prefix}{name}: " + "; ".join(parts))


def main():
    syscalls_path, rules_path, *abis = sys.argv[1:]
    abis = abis or ["x86_64"]
    with open(syscalls_path, newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    with open(rules_path) as file:
        (_, kind, data, *_), *rules = (line.split() for line in file)
    default = action(kind, data)
    print(f"arch: {', '.join(abis)}\ndefault: {default}\nunknown: {default}")
    for abi in abis:
        print_rules(abi, f"{abi}." if len(abis) > 1 else "", {row["name"]: row[abi] for row in table}, rules)


if __name__ == "__main__":
    main()
