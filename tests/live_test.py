#!/usr/bin/env python3
"""Questions about processes that run, and about what the kernel says of them: `pid:N` as an operand, and the kernel's records of a
program that was denied. Needs root, as reading another process's filters does.

usage: live_test.py CALLGATE
"""

import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

CALLGATE = os.path.abspath(sys.argv.pop(1))
POLICY = "arch: x86_64\ndefault: errno(EPERM)\n@system-service\nsocket: domain == AF_UNIX\n"
NOBODY = 65534


def callgate(*arguments, cwd=None, **more):
    done = subprocess.run([CALLGATE, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
                          env=dict(os.environ, NO_COLOR="1"), **more)
    return done.returncode, done.stdout, done.stderr


class Live(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = pathlib.Path(folder.name)
        self.at.chmod(0o755)
        (self.at / "a.cg").write_text(POLICY)

    def sleeper(self, *policies):
        """A process that sleeps under the policies."""
        child = subprocess.Popen([CALLGATE, "run", "--no-supervisor", *policies, "--", "sleep", "60"], cwd=self.at)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        for _ in range(500):
            if pathlib.Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n":
                return f"pid:{child.pid}"
            time.sleep(0.01)
        self.fail("it does not start")


class Operands(Live):
    def ask(self, *arguments):
        return callgate(*arguments, cwd=self.at)

    def test_a_process_is_compared_proved_and_linted_as_its_policy(self):
        pid = self.sleeper("a.cg")
        name = f"process {pid[4:]}"
        self.assertEqual(self.ask("prove", pid, "--equal", "a.cg", "--never", "socket(AF_VSOCK)"),
                         (0, f"{name} is equal to a.cg: proved\n{name} never allows socket(AF_VSOCK, *, *): proved\n", ""))
        self.assertEqual(self.ask("prove", "a.cg", "--subset-of", pid), (0, f"a.cg is a subset of {name}: proved\n", ""))
        status, out, err = self.ask("diff", pid, "a.cg")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, f"^{name} and a.cg decide every call alike, proved in ")
        status, out, err = self.ask("lint", pid)
        self.assertEqual((status, err), (1, ""))
        self.assertIn(f"{name}: instruction ", out)
        self.assertIn("[CG0501]", out)
        status, out, err = self.ask("report", pid, "a.cg")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("B decides every call of every ABI as A does", out)

    def test_two_processes_with_several_layers(self):
        (self.at / "b.cg").write_text("default: allow\nmkdir: else -> errno(EACCES)\n")
        one, both = self.sleeper("a.cg"), self.sleeper("a.cg", "b.cg")
        status, out, _ = self.ask("diff", "--live", one, both)
        self.assertEqual(status, 0)
        self.assertIn("  TIGHTER  mkdir\n", out)
        self.assertIn(f"process {one[4:]} → allow   process {both[4:]} → errno(EACCES)   witness: mkdir(NULL, 0o0) on x86_64\n"
                      "           the kernel agrees\n", out)

    def test_a_record_is_explained_by_what_the_process_is_under(self):
        pid = self.sleeper("a.cg")
        record = 'type=1326 audit(1.1:1): pid=7 comm="w" sig=0 arch=c000003e syscall=165 code=0x50000\n'
        self.assertEqual(callgate("explain", "-p", pid, "-", input=record),
                         (0, f"w (pid 7)  mount  → errno\n  policy    errno(EPERM)\n  rule      {pid}:2  default errno(EPERM)\n"
                             "  add       mount  # @mount: chroot fsconfig fsmount fsopen fspick mount …\n", ""))


class Refusals(Live):
    """Every verb says the same of a process that cannot be looked at."""

    def expect(self, pid, reason, **more):
        for arguments in (("diff", pid, "a.cg"), ("diff", "a.cg", pid), ("prove", pid, "--never", "mount"), ("lint", pid), ("report", pid),
                          ("prove", "a.cg", "--subset-of", pid), ("decompile", pid), ("explain", "-p", pid, "-")):
            with self.subTest(arguments):
                self.assertEqual(callgate(*arguments, cwd=self.at, stdin=subprocess.DEVNULL, **more),
                                 (2, "", f"error: cannot read the filters of process {pid[4:]}: {reason}\n"))

    def test_a_process_that_is_gone(self):
        child = subprocess.Popen(["true"])
        child.wait()
        self.expect(f"pid:{child.pid}", "No such process")

    def test_a_process_that_has_ended_and_is_not_waited_for(self):
        child = subprocess.Popen(["true"])
        self.addCleanup(child.wait)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.expect(f"pid:{child.pid}", "Operation not permitted (it has ended, another program traces it, or it is not yours to trace)")

    def test_without_privilege_another_user_s_process_is_not_shown(self):
        self.expect(self.sleeper("a.cg"), "Operation not permitted (it has ended, another program traces it, or it is not yours to trace)",
                    user=NOBODY, group=NOBODY, extra_groups=[])

    def test_the_right_to_trace_is_not_enough(self):
        child = subprocess.Popen(["sleep", "60"], user=NOBODY, group=NOBODY, extra_groups=[])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.expect(f"pid:{child.pid}", "Permission denied (that takes CAP_SYS_ADMIN and a caller without a seccomp filter of its own); "
                    "run callgate as root, outside of a container", user=NOBODY, group=NOBODY, extra_groups=[])

    def test_a_caller_under_a_filter_is_refused(self):
        pid = self.sleeper("a.cg")
        (self.at / "all.cg").write_text("default: allow\nreboot: else -> errno(EPERM)\n")
        self.assertEqual(callgate("run", "--no-supervisor", "all.cg", "--", CALLGATE, "prove", pid, "--never", "mount", cwd=self.at),
                         (2, "", f"error: cannot read the filters of process {pid[4:]}: Permission denied (that takes CAP_SYS_ADMIN and a "
                                 "caller without a seccomp filter of its own); run callgate as root, outside of a container\n"))

    def test_a_process_without_filters(self):
        child = subprocess.Popen(["sleep", "60"])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.assertEqual(callgate("lint", f"pid:{child.pid}"), (2, "", f"error: process {child.pid} has no seccomp filter\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
