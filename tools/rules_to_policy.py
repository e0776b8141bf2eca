#!/usr/bin/env python3
"""Turns a benchmark rule list into a policy.

A rule list has one rule a line: `NAME ACTION DATA NARGS {INDEX OP VALUE MASKED_VALUE}...`, the first line is
`default ACTION DATA`. Conditions of a rule are ANDed, rules of one name are ORed, all comparisons are unsigned and 64 bits
wide (libseccomp's meaning), so every argument is written `argN as u64`. Names without a number on x86_64 are left out.

usage: rules_to_policy.py SYSCALLS.TSV RULES > POLICY.cg
"""

import csv
import sys

OPERATORS = {"EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}


def action(kind, data):
    return {"ALLOW": "allow", "KILL": "kill", "KILL_PROCESS": "kill", "KILL_THREAD": "kill_thread", "LOG": "log",
            "ERRNO": f"errno({data})", "TRAP": f"trap({data})", "TRACE": f"trace({data})"}[kind]


def condition(index, op, value, masked):
    operand = f"arg{index} as u64"
    if op == "MASKED_EQ":
        return f"{operand} & {value} == {masked}"
    return f"{operand} {OPERATORS[op]} {value}"


def predicate(fields):
    """`1` for a rule without conditions."""
    return " && ".join(condition(*fields[i:i + 4]) for i in range(0, len(fields), 4)) or "1"


def main():
    syscalls_path, rules_path = sys.argv[1:]
    with open(syscalls_path, newline="") as file:
        numbers = {row["name"]: row["x86_64"] for row in csv.DictReader(file, delimiter="\t")}
    default, clauses = None, {}
    with open(rules_path) as file:
        for line in file:
            name, kind, data, *rest = line.split()
            if name == "default":
                default = action(kind, data)
            elif numbers.get(name):
                clauses.setdefault(name, []).append((predicate(rest[1:]), action(kind, data)))
    print(f"arch: x86_64\ndefault: {default}\nunknown: {default}")
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
        print(f"{name}: " + "; ".join(parts))


if __name__ == "__main__":
    main()
