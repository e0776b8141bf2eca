#!/usr/bin/env python3
"""Runs real programs under policies of theirs, as root and as an unprivileged user.

Each program has tests/programs/NAME.sh, a short script in which $RUN starts the program, and NAME.cg, its policy. For each
program and user four things must hold:
  1. under the policy the script prints what it prints without callgate, and nothing is denied by default (what a clause
     refuses on purpose is reported, and expected);
  2. with the rules for one needed call removed from the policy, a report names that call;
  3. the report says which line to add;
  4. with that line added, the script works again.

usage: programs_test.py CALLGATE [NAME...]
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "programs"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534
# Which call is taken away: one whose denial the program notices, but that it does not need to start.
REMOVED = {
    "chromium": "pkey_alloc",
    "curl": "poll",
    "gcc": "pipe2",
    "git": "rename",
    "nginx": "mkdir",
    "node": "epoll_create1",
    "openssl": "sysinfo",
    "perl": "pipe2",
    "python3": "rename",
    "redis-server": "rename",
    "sqlite3": "fdatasync",
    "tar": "symlinkat",
}
BY_DEFAULT = re.compile(r"^  rule  .*  (default|unknown) ", re.MULTILINE)
PROLOGUE = """
set -u
trap 'kill $(jobs -p) 2>/dev/null' EXIT
is_root() { [ "$(id -u)" = 0 ]; }
wait_for() { for _ in $(seq 200); do [ -e "$1" ] && return; sleep 0.05; done; echo "no $1"; exit 1; }
"""


def run_script(name, runner, user):
    """The script's output and everything it printed on stderr, with $RUN in front of the program."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        script = f"{PROLOGUE}\nRUN='{runner}'\n{(HERE / (name + '.sh')).read_text()}"
        as_user = {} if user == "root" else {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120,
                              env={"PATH": SYSTEM_PATH, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, **as_user)
        return done.stdout, done.stderr


def write_policies(folder, name, change=lambda text: text):
    """The program's policy, changed, beside the file that it uses. Returns its path."""
    (folder / "common.cg").write_text((HERE / "common.cg").read_text())
    path = folder / f"{name}.cg"
    path.write_text(change((HERE / f"{name}.cg").read_text()))
    for file in folder.iterdir():
        file.chmod(0o644)
    return path


def without_line(text, line):
    """The policy without a line that must stand in it once."""
    lines = text.splitlines(keepends=True)
    kept = [each for each in lines if each.split("#")[0].strip() != line]
    assert len(lines) - len(kept) == 1, f"the policy must have one line '{line}'"
    return "".join(kept)


def check_program(callgate, name, user, folder):
    """Yields one line for each thing that does not hold."""
    call = REMOVED[name]
    native, _ = run_script(name, "", user)
    if not native:
        yield f"the script printed nothing without callgate, as {user}"

    run_under = lambda policy: run_script(name, f"{callgate} run {policy} --", user)
    out, err = run_under(write_policies(folder, name))
    if out != native:
        yield f"under the policy: printed {out!r} instead of {native!r}; stderr: {err}"
    if BY_DEFAULT.search(err):
        yield f"under the policy, a call is denied by default: {err}"

    out, err = run_under(write_policies(folder, name, lambda text: without_line(text, call)))
    if not re.search(rf"^callgate: denied  {call}\(", err, re.MULTILINE):
        yield f"without {call}: no report names it; stderr: {err}"
    added = re.search(rf"^  add       ({call}\b[^#\n]*)", err, re.MULTILINE)
    if not added:
        yield f"without {call}: no report says what to add; stderr: {err}"
        return

    add = lambda text: without_line(text, call) + added[1].strip() + "\n"
    out, err = run_under(write_policies(folder, name, add))
    if out != native or BY_DEFAULT.search(err):
        yield f"with the line '{added[1].strip()}' added: printed {out!r}; stderr: {err}"


def main():
    callgate, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or sorted(REMOVED)
    passed = failed = 0
    for name in names:
        for user in ("root", "nobody"):
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)
                problems = list(check_program(callgate, name, user, pathlib.Path(folder)))
            for problem in problems:
                print(f"{name} as {user}: {problem}")
            passed, failed = passed + (not problems), failed + bool(problems)
            print(f"{'FAIL' if problems else 'ok  '} {name} as {user}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
