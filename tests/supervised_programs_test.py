#!/usr/bin/env python3
"""Runs real programs under a policy with path and address rules, so that the supervisor performs their calls.

The scripts are those of programs_test.py. Under the policy each must print what it prints without callgate, and nothing may
be denied, as root and as an unprivileged user.

usage: supervised_programs_test.py CALLGATE [NAME...]
"""

import pathlib
import sys
import tempfile

from programs_test import run_script

PROGRAMS = ("curl", "gcc", "git", "nginx", "node", "openssl", "perl", "python3", "redis-server", "sqlite3", "tar")
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


def main():
    program, names = sys.argv[1], sys.argv[2:] or PROGRAMS
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        policy = pathlib.Path(folder) / "places.cg"
        policy.write_text(POLICY)
        pathlib.Path(folder).chmod(0o755)
        policy.chmod(0o644)
        for name in names:
            for user in ("root", "nobody"):
                wanted, _ = run_script(name, "", user)
                got, errors = run_script(name, f"{program} run {policy} --", user)
                denied = [line for line in errors.splitlines() if line.startswith("callgate: ")]
                if got == wanted and wanted and not denied:
                    continue
                failed += 1
                print(f"{name} as {user}: {denied[:3] or 'another output'}\nwanted:\n{wanted}\ngot:\n{got}\nerrors:\n{errors[:2000]}")
    print(f"{len(names) * 2 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
