#!/usr/bin/env python3
"""`callgate import` against a second reading of every foreign file there is.

usage: foreign_test.py CALLGATE

The project's own samples (tests/foreign/) are always read. The corpus of real policies is not part of
the project: it is read where it lies, at $CALLGATE_DATA/corpus or ../shared/data/corpus beside the
source tree, and its absence is said. Each file is imported, compiled, and the filter is run on every
number and at every boundary of its arguments (of the corpus on a part of them, unless
CALLGATE_CORPUS_ALL is set); the words it returns must be those of foreign_oracle. A refusal must be one
by the oracle too. At the end stands a table by format.
"""

import collections
import json
import os
import pathlib
import sys
import tempfile

import foreign_check as check
import foreign_oracle as oracle
import yaml
from foreign_tables import Refused

TESTS = pathlib.Path(__file__).resolve().parent
CLASSES = {"oci-json": "oci", "spo-yaml": "spo", "firecracker-json": "firecracker",
           "minijail-policy": "minijail", "kafel": "kafel", "systemd-unit": "systemd"}
MACHINES = ["x86_64", "aarch64", "arm", "i386", "riscv64"]


def corpus_folder():
    data = os.environ.get("CALLGATE_DATA") or TESTS.parent.parent / "shared" / "data"
    folder = pathlib.Path(data) / "corpus"
    return folder if folder.is_dir() else None


def machines_of(name):
    """The machines a file may be for, told by its name as far as it tells."""
    for mark, *arches in (("aarch64", "aarch64"), ("arm64", "aarch64"), ("riscv64", "riscv64"), ("x86_64", "x86_64"),
                          ("amd64", "x86_64"), ("-x86", "i386", "x86_64"), ("-arm", "arm")):
        if mark in name:
            return arches
    return MACHINES


class Includes:
    """Included files by their last name, as links in a folder of their own."""

    def __init__(self, folder, prefix):
        self.folder = folder
        for path in prefix[0].glob(prefix[1]):
            link = pathlib.Path(folder, path.name.rsplit("__", 1)[-1])
            if not link.exists():
                link.symlink_to(path)

    def __call__(self, path):
        target = pathlib.Path(self.folder, path.rsplit("/", 1)[-1])
        if not target.exists():
            raise Refused(f"no {path}")
        return target.read_text()


class Checker:
    def __init__(self, callgate):
        self.callgate = callgate
        self.table = collections.defaultdict(lambda: collections.Counter())
        self.refusals = []
        self.failures = []
        self.calls = 0
        self.thorough = bool(os.environ.get("CALLGATE_CORPUS_ALL"))

    def file(self, path, kind):
        text = path.read_text(errors="surrogateescape")
        machines = machines_of(path.name) if kind in ("minijail", "firecracker") else ["x86_64"]
        members = [None]
        if kind == "firecracker":
            members = list(json.loads(text))
        if kind == "spo":
            members = [d["metadata"]["name"] for d in yaml.safe_load_all(text)
                       if isinstance(d, dict) and d.get("kind") == "SeccompProfile"] or [None]
        for member in members:
            with tempfile.TemporaryDirectory() as folder:
                stem = path.name.rsplit("__", 1)[0]
                include = Includes(folder, (path.parent, stem + "__*" if "__" in path.name else "*"))
                self.member(path, text, kind, machines, member, include)

    def member(self, path, text, kind, machines, member, include):
        reading, why = None, ""
        for machine in machines:
            try:
                reading = oracle.READERS[kind](text, native=machine, name=member, include=include)
                break
            except Refused as refusal:
                why = why or str(refusal)
        label = path.name + (f" [{member}]" if member else "")
        arguments = ["import", "--arch", machine if reading else machines[0], "--include", include.folder]
        done = check.command(self.callgate, *arguments, *(["--name", member] if member else []), str(path))
        self.table[kind]["files"] += 1
        if done.returncode != 0:
            self.table[kind]["refused"] += 1
            self.refusals.append((kind, label, next(iter(done.stderr.splitlines()), "").removeprefix(str(path.parent) + "/")))
            if reading is not None:
                self.failures.append(f"{label}: refused, the oracle reads it: {done.stderr}")
            elif "error:" not in done.stderr:
                self.failures.append(f"{label}: no error message: {done.stderr}")
            return
        self.table[kind]["imported"] += 1
        if reading is None:
            self.failures.append(f"{label}: imported, the oracle refuses it: {why}")
            return
        compiled = check.command(self.callgate, "compile", "-f", "hex", "-", input=done.stdout)
        if compiled.returncode != 0:
            self.failures.append(f"{label}: does not compile: {compiled.stderr[:2000]}")
            return
        formatted = check.command(self.callgate, "fmt", "-", input=done.stdout)
        if formatted.stdout != done.stdout:
            self.failures.append(f"{label}: the policy is not in canonical form")
        difference, tried = check.first_difference(
            reading, check.Filter(compiled.stdout), label, self.thorough or "__" not in path.name)
        self.calls += tried
        if difference:
            self.failures.append(f"{label}: {difference}")
            return
        self.table[kind]["equal"] += 1
        if self.thorough or "__" not in path.name:
            self.round_trip(label, kind, done.stdout, reading.arches, include.folder)

    def round_trip(self, label, kind, policy, arches, folder):
        """Out in its own format and in again: proved equal over the policy's calls, or refused."""
        original, written, again = (pathlib.Path(folder, name) for name in ("a.cg", "written", "b.cg"))
        original.write_text(policy)
        out = check.command(self.callgate, "export", "-f", kind, "-o", str(written), str(original))
        if out.returncode != 0:
            self.table[kind]["not exported"] += 1
            if "the format cannot" not in out.stderr:
                self.failures.append(f"{label}: export: {out.stderr}")
            return
        back = check.command(self.callgate, "import", "-f", kind, "-a", arches[0], "-o", str(again), str(written))
        if back.returncode != 0:
            self.failures.append(f"{label}: what was exported is not imported: {back.stderr}")
            return
        # Numbers without a name and other ABIs are the runtime's to decide.
        differences = json.loads(check.command(self.callgate, "diff", "--json", str(original), str(again)).stdout)
        self.failures += [f"{label}: round trip: {one}" for one in differences["differences"]
                          if one["call"] != "unnamed numbers" and one["arch"] in arches]
        self.table[kind]["round trips"] += 1


def main():
    checker = Checker(os.path.abspath(sys.argv[1]))
    samples = 0
    for path in sorted((TESTS / "foreign").iterdir()):
        checker.file(path, path.name.split("-")[0])
        samples += 1
    corpus = corpus_folder()
    if corpus is None:
        print("the corpus is not here; the project's own samples are")
    else:
        only = os.environ.get("CALLGATE_CORPUS_CLASSES", ",".join(CLASSES)).split(",")
        for name in only:
            for path in sorted((corpus / name).iterdir()):
                checker.file(path, CLASSES[name])
    for kind, label, why in checker.refusals:
        print(f"refused  {kind:12} {label}: {why}")
    columns = ("files", "imported", "equal", "refused", "round trips", "not exported")
    print(f"{'format':12} " + " ".join(f"{column:>12}" for column in columns))
    for kind, row in checker.table.items():
        print(f"{kind:12} " + " ".join(f"{row[column]:12}" for column in columns))
    print(f"{samples} samples, {checker.calls} calls compared")
    for failure in checker.failures:
        print("FAIL", failure)
    return 1 if checker.failures or samples < 12 else 0


if __name__ == "__main__":
    sys.exit(main())
