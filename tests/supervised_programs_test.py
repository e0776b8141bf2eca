#!/usr/bin/env python3
"""Runs real programs under a policy with path and address rules, so that the supervisor performs their calls, and under one
that names the programs they may start.

The scripts are those of programs_test.py. Under the policy each must print what it prints without callgate, and nothing may
be denied, as root and as an unprivileged user.

usage: supervised_programs_test.py CALLGATE [NAME...]
"""

import pathlib
import sys
import tempfile

from programs_test import run_script

PROGRAMS = ("curl", "gcc", "git", "nginx", "node", "openssl", "perl", "python3", "redis-server", "sqlite3", "tar", "usr-share",
            "venv")
PLACES = '{"/usr", "/etc", "/lib", "/lib64", "/bin", "/sbin", "/proc", "/sys", "/dev", "/run", "/var", "/tmp"}'
ONE_PATH = ("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir",
            "chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "truncate", "utimensat", "setxattr", "lsetxattr",
            "getxattr", "lgetxattr", "listxattr", "llistxattr", "removexattr", "lremovexattr")
TWO_PATHS = ("rename", "renameat", "renameat2", "link", "linkat")
POLICY = f"""default: allow
io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)
{", ".join(ONE_PATH)}: path under {PLACES} || path in {{"/", "/package.json"}} || path ~ "**/.*rc"; else -> errno(EACCES)
{", ".join(TWO_PATHS)}: oldname under {PLACES} && newname under {PLACES}; else -> errno(EACCES)
symlink, symlinkat: newname under {PLACES}; else -> errno(EACCES)
connect, bind: addr.ip in 127.0.0.0/8 || addr.ip in ::1 || addr.path under {PLACES} || addr.family in {{AF_UNSPEC, AF_NETLINK, AF_UNIX}}; else -> errno(EACCES)
"""
# What each starts, besides the program itself.
STARTS = {
    "gcc": 'filename ~ {"/usr/bin/*-gcc-*", "/usr/lib/gcc/**", "/usr/bin/*-as", "/usr/bin/*-ld*"}',
    "git": """filename in {"/usr/bin/git", "/usr/lib/git-core/git"};
        filename == "/usr/bin/dash" && argv[1] == "-c" && argv[2] ~ "git-upload-pack **" """,
    "perl": 'filename == "/usr/bin/sort" && argv[1] == "list" && argv.count == 2',
    "python3": 'filename == "/usr/bin/echo" && !(envp.LD_PRELOAD ~ "**")',
    "sh": """filename in {"/usr/bin/ls", "/usr/bin/tr", "/usr/bin/cat"} || filename ~ "**/each";
        filename == "/usr/bin/dash" && argv[1] == "-e" && argv[2] == "./each" """,
    "tar": 'filename == "/usr/bin/gzip"; filename == "/usr/bin/dash" && argv[1] == "-c" && argv[2] in {"gzip", "gzip -d"}',
}


def starts_policy(name):
    return f"default: allow\nexecve: {STARTS[name]};\n        else -> errno(EACCES)\nexecveat: else -> errno(ENOSYS)\n"


def check(program, name, user, policy):
    wanted, _ = run_script(name, "", user)
    got, errors = run_script(name, f"{program} run {policy} --", user)
    denied = [line for line in errors.splitlines() if line.startswith("callgate: ")]
    if got == wanted and wanted and not denied:
        return True
    print(f"{policy.name}: {name} as {user}: {denied[:3] or 'another output'}\nwanted:\n{wanted}\ngot:\n{got}\nerrors:\n{errors[:2000]}")
    return False


def main():
    program, names = sys.argv[1], sys.argv[2:] or (*PROGRAMS, "sh")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        for name in names:
            policies = {"places.cg": POLICY} if name in PROGRAMS else {}
            if name in STARTS:
                policies["starts.cg"] = starts_policy(name)
            for file, text in policies.items():
                policy = pathlib.Path(folder) / file
                policy.write_text(text)
                policy.chmod(0o644)
                results += [check(program, name, user, policy) for user in ("root", "nobody")]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
