#!/usr/bin/env python3
"""Where programs may go under a policy that judges chdir, fchdir and chroot: by the directory that they come to.

usage: supervised_moves_test.py CALLGATE
"""

import os
import subprocess
import unittest

from supervised import CALLGATE, Supervised, audit_of

POLICY = """default: allow
io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)
chdir: filename == "/" || filename under "DIR/ok"; else -> errno(EACCES)
fchdir: fd.path under "DIR/ok"; else -> errno(EACCES)
chroot: filename under "DIR/ok"; else -> errno(EACCES)
"""
PROLOGUE = """
import ctypes, os, threading
libc = ctypes.CDLL(None, use_errno=True)
def to(call, *where):
    try: call(*where)
    except OSError as error: return error.errno
    return os.getcwd()
here = os.getcwd()
os.makedirs("in/deep", exist_ok=True)
"""


class Moves(Supervised):
    def run_moves(self, program, policy=POLICY, **more):
        _, out, err = self.run_program(PROLOGUE + program, policy=policy, **more)
        return out.replace(str(self.at), "DIR"), err.replace(str(self.at), "DIR")

    def test_by_path(self):
        out, err = self.run_moves("""
os.symlink("../no", "link")
print(to(os.chdir, "in/deep"), to(os.chdir, "/etc"), to(os.chdir, here + "/link"), to(os.chdir, "../../.."), to(os.chdir, ".."),
      to(os.chdir, "none"), to(os.chdir, "/"), to(os.chdir, here + "/in/../../ok"))""")
        self.assertEqual(out, "DIR/ok/in/deep 13 13 13 DIR/ok/in 2 / DIR/ok\n", err)
        self.assertIn('callgate: denied  chdir(filename="/etc")  → EACCES', err)

    def test_by_descriptor(self):
        out, err = self.run_moves("""
fd = [os.open(name, os.O_RDONLY) for name in ("in", "../no", "/etc/passwd")]
print(*[to(os.fchdir, one) for one in fd], to(os.fchdir, 999))""")
        self.assertEqual(out, "DIR/ok/in 13 13 9\n", err)

    def test_errors_of_allowed_ones_are_the_kernels(self):
        """Whether something is there is told only where it may go."""
        out, err = self.run_moves("""
open("file", "w").close()
print(to(os.chdir, "file"), to(os.chdir, "none"), to(os.chdir, "file/x"), to(os.fchdir, os.open("file", os.O_RDONLY)),
      to(os.chdir, "../no"), to(os.chdir, "../none"))""")
        self.assertEqual(out, "20 2 20 20 13 13\n", err)

    def test_root_of_its_own(self):
        """Who may, changes it; and is then called by names in it."""
        out, err = self.run_moves("""
os.unshare(0x10000000) if os.getuid() else None
print(to(os.chroot, "../no"), flush=True)
try: os.chroot("in")
except OSError as error: print(error.errno)
print(os.path.exists("/deep"), to(os.chdir, "/deep"))""".replace("os.unshare", "libc.unshare"),
                                  policy=POLICY.replace('filename == "/"', 'filename == "/deep"'))
        if os.getuid() == 0:
            self.assertEqual(out, "13\nTrue /deep\n", err)
        else:  # a root that the program has chosen gives names that count for nothing
            self.assertEqual(out, "13\nTrue 1\n", err)

    def test_children_and_what_they_start_go_too(self):
        out, err = self.run_moves("""
import subprocess
print(subprocess.run(["sh", "-c", "cd in && pwd; cd /etc || pwd"], capture_output=True, text=True).stdout.split(),
      subprocess.run(["pwd"], cwd="in/deep", capture_output=True, text=True).stdout.strip())
try: subprocess.run(["pwd"], cwd="/etc")
except OSError as error: print(error.errno)""")
        self.assertEqual(out, "['DIR/ok/in', 'DIR/ok/in'] DIR/ok/in/deep\n13\n", err)

    def test_threads_share_the_directory_and_are_refused(self):
        """Whoever shares it could use it before it is judged. A child of such a process is alone again."""
        out, err = self.run_moves("""
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
print(to(os.chdir, "in"), flush=True)
if os.fork() == 0:
    print(to(os.chdir, "in"), flush=True)
    os._exit(0)
os.wait()
stop.set()
thread.join()
import time
while len(os.listdir("/proc/self/task")) > 1: time.sleep(0.001)
print(to(os.chdir, "in"))""")
        self.assertEqual(out, "1\nDIR/ok/in\nDIR/ok/in\n", err)
        self.assertIn("several threads, and any of them could use the directory before it is judged", err)

    def test_processes_that_share_it_do_not_come_to_be(self):
        out, err = self.run_moves("""
SIGCHLD, CLONE_FS = 17, 0x200
child = libc.syscall(56, CLONE_FS | SIGCHLD, 0, 0, 0, 0)
if child == 0: os._exit(0)
print(child, ctypes.get_errno(), flush=True)
print(libc.syscall(435, 0, 0), ctypes.get_errno())""")
        self.assertEqual(out, "-1 1\n-1 38\n", err)

    def test_without_such_a_rule_they_do(self):
        out, err = self.run_moves("""
child = libc.syscall(56, 0x200 | 17, 0, 0, 0, 0)
if child == 0: os._exit(0)
print(child > 0)""", policy="default: allow\nmkdir: mode == 3 -> errno(EPERM)\n")
        self.assertEqual(out, "True\n", err)

    def test_untraced_child_is_refused(self):
        out, err = self.run_moves("""
child = libc.syscall(56, 0x00800000 | 17, 0, 0, 0, 0)
if child == 0:
    print(to(os.chdir, "in"), flush=True)
    os._exit(0)
os.waitpid(child, 0)""")
        self.assertEqual(out, "1\n", err)
        self.assertIn("is not traced (CLONE_UNTRACED?), so what comes of it could not be judged", err)

    def test_signals_meanwhile_are_not_lost(self):
        out, err = self.run_moves("""
import signal
rang = 0
def ring(*_):
    global rang
    rang += 1
signal.signal(signal.SIGALRM, ring)
signal.siginterrupt(signal.SIGALRM, False)  # else it is EINTR, as of all calls that are asked about
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
for i in range(300): os.chdir("in"); os.chdir("..")
signal.setitimer(signal.ITIMER_REAL, 0)
print(os.getcwd(), rang > 3)""")
        self.assertEqual(out, "DIR/ok True\n", err)

    def test_stop_and_continue_meanwhile(self):
        """A stop of the user's own is kept, and SIGCONT does not take the supervisor's away."""
        out, err = self.run_moves("""
import signal, time
child = os.fork()
if child == 0:
    while True: os.chdir("in"); os.chdir("..")
for i in range(100):
    os.kill(child, signal.SIGSTOP)
    os.kill(child, signal.SIGCONT)
    time.sleep(0.001)
os.kill(child, signal.SIGSTOP)
print(os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]))
os.kill(child, signal.SIGKILL)
print(os.waitpid(child, 0)[1])""")
        self.assertEqual(out, "True\n9\n", err)

    def test_killed_in_every_state(self):
        out, err = self.run_moves("""
import random, signal, time
for i in range(100):
    child = os.fork()
    if child == 0:
        while True: os.chdir("in"); os.chdir("..")
    time.sleep(random.random() / 500)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(to(os.chdir, "in"))""")
        self.assertEqual(out, "DIR/ok/in\n", err)

    def test_in_a_user_namespace_of_its_own(self):
        out, err = self.run_moves("""
import subprocess
program = "cd in && pwd; cd /etc || pwd; cd /; pwd"
print(subprocess.run(["unshare", "-U", "-r", "sh", "-c", program], capture_output=True, text=True).stdout.split())
print(subprocess.run(["unshare", "-U", "-r", "-m", "sh", "-c", "cd in || echo none"], capture_output=True, text=True).stdout)""")
        self.assertEqual(out, "['DIR/ok/in', 'DIR/ok/in', '/']\nnone\n\n", err)
        self.assertIn("could give files any name", err)

    def test_audit_log_says_pinned(self):
        log = self.at / "audit"
        with open(log, "w") as out:
            self.run_moves('to(os.chdir, "in"); to(os.chdir, "/etc")', options=["--audit-fd", str(out.fileno())], pass_fds=[out.fileno()])
        self.assertEqual([(line["class"], line["outcome"], line["inputs"]) for line in audit_of(log) if line.get("syscall") == "chdir"],
                         [("pinned", "done", {"filename": f"{self.at}/ok/in"}), ("pinned", "EACCES", {"filename": "/etc"})])

    def test_plan_says_how(self):
        (self.at / "p.cg").write_text('chdir: filename under "/srv"; else -> errno(EACCES)\nfchdir: fd.path == "/srv"\n')
        done = subprocess.run([CALLGATE, "plan", "p.cg"], cwd=self.at, capture_output=True, text=True)
        self.assertEqual(done.stdout, """chdir  x86_64  p.cg:1
  filename under "/srv"  pinned     supervisor
  else -> errno(EACCES)  pinned     supervisor
  performed  lets the caller make the call, and judges where it has come to before its next instruction
  cost       a notification, a look at the caller, and a stop behind the call
  guarantee  where the caller has come to is judged before its next instruction; if it is not allowed the process is killed
fchdir  x86_64  p.cg:2
  fd.path == "/srv"  pinned     supervisor
  default kill       pinned     supervisor
  performed  lets the caller make the call, and judges where it has come to before its next instruction
  cost       a notification, a look at the caller, and a stop behind the call
  guarantee  where the caller has come to is judged before its next instruction; if it is not allowed the process is killed
0 rules are kept by the filter alone
""")


if __name__ == "__main__":
    unittest.main()
