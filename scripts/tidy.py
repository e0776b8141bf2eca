#!/usr/bin/env python3
"""tidy.py - clang-tidy-19 over every C++ source file that changed since it was last found clean.

What clang-tidy says of a file depends on the file, everything it includes, its compile command, the
checks and clang-tidy. A file that is clean leaves a stamp named after the hash of all of that, so
a changed header has the files read again that include it, and no others. Which those are
clang-scan-deps says, 2.5 s for the whole tree; a file takes about 2.4 s of one core (2026-11-26).
Like the compiler cache, the stamps are shared by all checkouts.
"""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import subprocess
import sys

os.chdir(pathlib.Path(__file__).parent.parent)
ROOT = os.getcwd()
CLANG = pathlib.Path("build/clang")
FOLDER = CLANG / "tidy"  # holds the commands of the files that are read, one a file
STAMPS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache",
                      "callgate/tidy")


def output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}tidy: {command[0]} failed; what it said is above")
    return done.stdout


@functools.cache
def content_hash(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def generate():
    """The compile commands, and the headers that the build makes for tests and examples."""
    output("cmake", "--preset", "clang")
    output("python3", "tests/mutate.py", ".", str(CLANG / "tests/mutated"))
    if subprocess.run(["scripts/build.sh", "dev", "callgate_cli"]).returncode != 0:
        sys.exit("tidy: callgate does not build; the compiler's words are above")
    FOLDER.mkdir(parents=True, exist_ok=True)
    output("build/dev/bin/callgate", "compile", "--format", "c", "--name", "worker_filter",
           "--output", str(FOLDER / "worker_filter.h"), "examples/embedded/worker.cg")


def commands():
    """The compile command of every source file, also of those that this machine does not build."""
    built = {os.path.relpath(entry["file"]): entry
             for entry in json.loads((CLANG / "compile_commands.json").read_text())}
    plain = f"clang++-19 -std=c++23 -I{ROOT}/include -I{ROOT}/src -I{ROOT}/{FOLDER} -c "
    files = [file for file in output("scripts/sources.sh").split() if file.endswith(".cc")]
    return {file: built.get(file) or {"directory": ROOT, "file": f"{ROOT}/{file}",
                                      "command": f"{plain}{ROOT}/{file}"} for file in files}


def inputs():
    """Per source file, all that it includes, itself among them."""
    rules = output("clang-scan-deps-19", "-compilation-database",
                   str(FOLDER / "compile_commands.json"))
    found = {}
    for rule in rules.replace("\\\n", " ").splitlines():
        paths = [os.path.normpath(path) for path in rule.split(": ", 1)[1].split()]
        found[os.path.relpath(paths[0])] = paths
    return found


def is_clean(file, stamp):
    done = subprocess.run(["clang-tidy-19", "-p", str(FOLDER), "--quiet", file],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        stamp.touch()
        return True
    print(*(line for line in done.stdout.splitlines() if not line.endswith(" generated.")),
          sep="\n", flush=True)
    return False


def main():
    generate()
    STAMPS.mkdir(parents=True, exist_ok=True)
    command = commands()
    (FOLDER / "compile_commands.json").write_text(json.dumps(list(command.values())))
    included = inputs()
    checks = output("clang-tidy-19", "--version") + content_hash(".clang-tidy")

    todo = []
    for file, entry in command.items():
        key = [checks, entry["command"]] + [f"{path} {content_hash(path)}"
                                            for path in included[file]]
        stamp = STAMPS / hashlib.sha256("\n".join(key).replace(ROOT, "").encode()).hexdigest()
        if not stamp.exists():
            todo.append((file, stamp))

    print(f"tidy: {len(command)} files, {len(todo)} of them changed", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = list(pool.map(lambda pair: is_clean(*pair), todo)).count(False)
    print(f"tidy: findings in {bad} files")
    return bad != 0


sys.exit(main())
