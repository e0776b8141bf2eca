#!/usr/bin/env python3
"""Questions about processes that run, and about what the kernel says of them: `pid:N` as an operand, and the kernel's records of a
program that was denied. Needs root, as reading another process's filters does.

usage: live_test.py CALLGATE
"""

import ctypes
import json
import os
import pathlib
import re
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
            status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
            # The filter is put on at the exec's stop: until then it is traced, and has none.
            if status.startswith("Name:\tsleep\n") and "TracerPid:\t0\n" in status:
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
                          ("prove", "a.cg", "--subset-of", pid), ("decompile", pid), ("eval", pid, "read"), ("explain", "-p", pid, "-")):
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


class LastRun(Live):
    """What `run` kept for `explain --last`."""

    POLICY = "default: errno(EPERM)\n@system-service\nmkdir: else -> errno(EACCES)\n"

    def ask(self, *arguments, home=None, **more):
        done = subprocess.run([CALLGATE, *arguments], cwd=self.at, capture_output=True, text=True, timeout=60, check=False,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C", **({"HOME": str(home)} if home else {})}, **more)
        return done.returncode, done.stdout, re.sub(r"pid \d+", "pid N", done.stderr)

    def setUp(self):
        super().setUp()
        (self.at / "m.cg").write_text("default: allow\nmkdir: else -> errno(EACCES)\n")
        (self.at / "ok.cg").write_text("default: allow\nmkdir: mode == 0o777\n")

    def run_denied(self):
        return self.ask("run", "m.cg", "--", "mkdir", "x", home=self.at)

    def test_the_report_is_printed_again(self):
        status, _, report = self.run_denied()
        self.assertEqual(status, 1)
        status, out, err = self.ask("explain", "--last", home=self.at)
        report = "".join(line for line in report.splitlines(True) if not line.startswith("mkdir:"))
        self.assertEqual((status, re.sub(r"pid \d+", "pid N", out), err), (0, "mkdir x (pid N), status 1\n" + report, ""))

    def test_with_the_mended_policy_it_says_that_the_call_is_allowed_now(self):
        self.run_denied()
        self.assertTrue(self.ask("explain", "-l", "-p", "ok.cg", home=self.at)[1].endswith("  policy    ok.cg allows it\n"))
        self.assertIn("  policy    errno(EACCES)\n", self.ask("explain", "-l", "-p", "m.cg", home=self.at)[1])

    def test_json_has_the_registers(self):
        self.run_denied()
        told = json.loads(self.ask("explain", "--last", "--json", home=self.at)[1])
        self.assertEqual((told["command"], told["status"], len(told["denials"])), (["mkdir", "x"], 1, 1))
        denial = told["denials"][0]
        self.assertEqual((denial["call"], denial["outcome"], denial["registers"]["nr"], denial["registers"]["args"][1]),
                         ('mkdir(pathname="x", mode=0777)', "EACCES", 83, 0o777))

    def test_many_denials_are_counted(self):
        self.ask("run", "m.cg", "--", "sh", "-c", "for i in $(seq 40); do mkdir x$i; mkdir y; done", home=self.at)
        out = self.ask("explain", "--last", home=self.at)[1]
        self.assertEqual(out.count("callgate: denied  mkdir(pathname="), 16)
        self.assertRegex(out, r"callgate: denied  mkdir\(…\)\n  again     \d+ times, with other arguments\n$")

    def test_nothing_is_kept(self):
        where = f"{self.at}/.local/state/callgate"
        none = (0, "", f"callgate explain: no denial of 'callgate run' is kept in {where}\n")
        self.assertEqual(self.ask("explain", "--last", home=self.at), none)
        self.ask("run", "ok.cg", "--", "true", home=self.at)
        self.ask("run", "--no-supervisor", "m.cg", "--", "mkdir", "x", home=self.at)
        self.assertEqual(self.ask("explain", "--last", home=self.at), none)
        self.assertFalse((self.at / ".local").exists())

    def test_nobody_says_where(self):
        self.assertEqual(self.ask("run", "m.cg", "--", "mkdir", "x")[0], 1)
        self.assertEqual(self.ask("explain", "--last"),
                         (2, "", "callgate explain: neither XDG_STATE_HOME nor HOME says where denials are kept\n"))

    def test_a_folder_that_cannot_be_written_does_not_stop_the_program(self):
        (self.at / ".local").write_text("a file")
        status, _, err = self.run_denied()
        self.assertEqual(status, 1)
        self.assertIn("callgate: denied  mkdir", err)

    def test_a_log_and_the_last_run_are_two_questions(self):
        self.assertEqual(self.ask("explain", "--last", "log")[2],
                         "callgate explain: --last reads what 'run' kept, and no log; see 'callgate explain --help'\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
