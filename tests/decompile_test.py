#!/usr/bin/env python3
"""`callgate decompile` of filters that libseccomp writes, and back.

usage: decompile_test.py CALLGATE

The policies are the project's own samples (tests/foreign/) and those of the corpus (foreign_test.py says
where; a part of them, unless CALLGATE_CORPUS_ALL is set). Each is brought into the form that container
runtimes give to libseccomp, which makes of it filters for one ABI and for three, with its linear search
and with its tree. Each filter must become, without an exception, a policy that compiles to an equal filter
which is not longer.
"""

import json
import os
import pathlib
import sys
import tempfile

import foreign_check as check
import foreign_test as foreign
import libseccomp

KINDS = [("1 ABI, linear", [], 1), ("1 ABI, tree", [], 2), ("3 ABIs, linear", ["x86", "x32"], 1), ("3 ABIs, tree", ["x86", "x32"], 2)]


def files():
    yield from sorted((foreign.TESTS / "foreign").iterdir())
    corpus = foreign.corpus_folder()
    if corpus is None:
        print("the corpus is not here; the project's own samples are")
        return
    found = [path for name in foreign.CLASSES for path in sorted((corpus / name).iterdir())]
    yield from found if os.environ.get("CALLGATE_CORPUS_ALL") else found[::24]


def profiles(callgate, folder):
    """(label, runtime profile) of everything that can be imported."""
    for path in files():
        names = list(json.loads(path.read_text())) if path.name.startswith("firecracker") else [None]
        for name in names:
            for arch in foreign.MACHINES:
                policy = pathlib.Path(folder, "imported.cg")
                more = ["--name", name] if name else []
                done = check.command(callgate, "import", "-a", arch, "-o", str(policy), *more, str(path))
                if done.returncode == 0:
                    break
            else:
                continue
            # What the form cannot say does not matter here: it is a policy that somebody might have.
            written = check.command(callgate, "export", "-f", "oci", "--approximate", "looser", str(policy))
            if written.stdout:
                yield path.name + (f" [{name}]" if name else ""), json.loads(written.stdout)


def main():
    callgate = os.path.abspath(sys.argv[1])
    failures, seen = [], set()
    with tempfile.TemporaryDirectory() as folder:
        original, policy, again = (pathlib.Path(folder, name) for name in ("original.bpf", "policy.cg", "again.bpf"))
        for label, profile in profiles(callgate, folder):
            for kind, arches, level in KINDS:
                program = libseccomp.build(profile, arches, level)
                if program in seen:
                    continue
                seen.add(program)
                original.write_bytes(program)
                done = check.command(callgate, "decompile", str(original))
                if done.returncode != 0:
                    failures.append(f"{label}, {kind}: {done.stdout[:300]}{done.stderr}")
                    continue
                policy.write_text(done.stdout)
                check.command(callgate, "compile", "-f", "raw", "-o", str(again), str(policy))
                proof = check.command(callgate, "prove", "--equal", str(original), str(again))
                if proof.returncode != 0:
                    failures.append(f"{label}, {kind}: {proof.stdout}{proof.stderr}")
                    continue
                growth = (again.stat().st_size - len(program)) // 8
                if growth > 0:
                    failures.append(f"{label}, {kind}: {len(program) // 8} instructions become {len(program) // 8 + growth}")
    print(f"{len(seen)} filters")
    for failure in failures:
        print("FAIL", failure)
    return 1 if failures or len(seen) < 30 else 0


if __name__ == "__main__":
    sys.exit(main())
