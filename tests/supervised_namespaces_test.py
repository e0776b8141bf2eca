#!/usr/bin/env python3
"""Programs in user namespaces of their own under a policy with path rules: what is performed for them is performed by a helper that
stands where they stand. Run as root each case has a supervisor of root and a program of another user.

usage: supervised_namespaces_test.py CALLGATE
"""

import os
import pathlib
import subprocess
import sys
import textwrap
import time
import unittest

from supervised import CALLGATE, PYTHON, SYSTEM, Supervised

NOBODY = 65534
POLICY = """default: allow
io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)
openat: path under {%s} || path == "/" || path ~ "pipe:*" || path under "DIR/ok" || path under "DIR/t"; else -> errno(EACCES)
mkdir, mkdirat, chown, lchown, fchownat: path under "DIR/ok"; else -> errno(EACCES)
""" % SYSTEM
# Where a program is to see all that the kernel lets it see of other processes.
PROC = POLICY.replace("openat: ", 'openat: path == "/proc" || path under "/proc" -> continue_unchecked; ')
HELPERS = """
import ctypes, os, signal, time
def helpers():
    found = []
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/cmdline") as line:
                if comm.read() == "callgate-helper\\n" and os.getcwd()[:-2] in line.read(): found.append(int(pid))
        except (OSError, UnicodeDecodeError): pass
    return found
"""


class Namespaced(Supervised):
    def setUp(self):
        super().setUp()
        self.at.chmod(0o755)
        (self.at / "ok").chmod(0o777)

    def start_in_namespace(self, program, policy=POLICY, options=(), unshare=("-U", "-r"), **more):
        path = self.at / "p.cg"
        path.write_text(policy.replace("DIR", str(self.at)))
        command = [CALLGATE, "run", *options, str(path), "--"]
        if os.getuid() == 0:
            command += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        command += ["unshare", *unshare, PYTHON, "-I", "-c", textwrap.dedent(program)]
        return subprocess.Popen(command, cwd=self.at / "ok", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def run_in_namespace(self, program, **more):
        started = self.start_in_namespace(program, **more)
        out, err = self.finish(started)
        return out, err

    def test_acts_with_the_rights_it_has_there(self):
        """It owns what it makes, and its capabilities count for what is mapped and nothing else."""
        out, err = self.run_in_namespace("""
            import os
            open("made", "w").write("x")
            os.mkdir("d")
            print(os.stat("made").st_uid, os.stat("d").st_gid, end=" ")
            os.chown("made", 0, 0)
            try: os.chown("made", 1, 1)
            except OSError as error: print(error.errno, end=" ")
            try: os.chown("/etc/passwd", 0, 0)
            except OSError as error: print(error.errno)""", policy=POLICY.replace(
                'lchown, fchownat: path', 'lchown, fchownat: path == "/etc/passwd" || path'))
        self.assertEqual(out, "0 0 22 1\n", err)
        made = (self.at / "ok" / "made").stat()
        owner = NOBODY if os.getuid() == 0 else os.getuid()
        self.assertEqual(made.st_uid, owner)

    def test_rules_hold_there(self):
        out, err = self.run_in_namespace("""
            import os
            for name in "../no/secret", "/proc/self/cwd/../no/secret", "../no":
                try: open(name)
                except OSError as error: print(error.errno, end=" ")
            try: os.mkdir("../no/made")
            except OSError as error: print(error.errno)""")
        self.assertEqual(out, "13 13 13 13\n")
        self.assertIn("p.cg:3  else -> errno(EACCES)", err)
        self.assertFalse((self.at / "no" / "made").exists())

    def test_names_that_the_program_chooses_count_for_nothing(self):
        """Who has mounts of its own can give any file any name, and with chroot too."""
        (self.at / "ok" / "here").mkdir()
        program = """
            import ctypes, os
            libc = ctypes.CDLL(None, use_errno=True)
            def read(name):
                try: print(open(name).read().strip(), end=" ", flush=True)
                except OSError as error: print(error.errno, end=" ", flush=True)
            here, there = os.getcwd() + "/here", os.getcwd()[:-2] + "no"
            read(there + "/secret")
            if os.fork() == 0:
                libc.unshare(0x20000)
                libc.mount(there.encode(), here.encode(), None, 0x1000, None)
                read(here + "/secret")
                os._exit(0)
            os.wait()
            os.chroot(there)
            read("/secret")"""
        names = "mount, umount2, move_mount, open_tree, open_tree_attr, fsmount, chroot, pivot_root, setns\n"
        policy = POLICY.replace('path under "DIR/ok"', 'path under "DIR/ok" || path == "/secret"')
        self.assertEqual(self.run_in_namespace(program, policy=policy)[0], "13 1 1 ")
        out, err = self.run_in_namespace(program, policy=policy + names)
        self.assertEqual(out, "13 secret secret ", err)

    def test_maps_are_written_through_what_was_opened_for_it(self):
        out, err = self.run_in_namespace("print(open('/proc/self/uid_map').read().split())")
        owner = NOBODY if os.getuid() == 0 else os.getuid()
        self.assertEqual(out, f"['0', '{owner}', '1']\n", err)

    def test_namespace_within_a_namespace(self):
        out, err = self.run_in_namespace("""
            import os
            open("made", "w").close()
            print(os.stat("made").st_uid)""", unshare=("-U", "-r", "unshare", "-U", "-r"))
        self.assertEqual(out, "0\n", err)

    def test_helper_is_out_of_reach(self):
        """Who is root of the namespace can neither trace it, nor read it, nor take what it holds open."""
        out, err = self.run_in_namespace(HELPERS + textwrap.dedent("""
            open("made", "w").close()
            libc = ctypes.CDLL(None, use_errno=True)
            [pid] = helpers()
            def tried(name, result):
                print(name, "done" if result >= 0 else ctypes.get_errno(), end=" ")
            tried("seize", libc.ptrace(0x4206, pid, 0, 0))
            pidfd = libc.syscall(434, pid, 0)
            for fd in 0, 3, 4: tried("take", libc.syscall(438, pidfd, fd, 0))
            tried("enter", libc.setns(pidfd, 0x20000))
            for name in "mem", "environ":
                try: open(f"/proc/{pid}/{name}").read(1); print(name, "done")
                except OSError as error: print(name, error.errno, end=" ")
            try: print(os.listdir(f"/proc/{pid}/fd"))
            except OSError as error: print("fd", error.errno)"""), policy=PROC)
        self.assertEqual(out, "seize 1 take 1 take 1 take 1 enter 1 mem 13 environ 13 fd 13\n", err)

    def test_helper_that_is_killed_is_replaced(self):
        out, err = self.run_in_namespace(HELPERS + textwrap.dedent("""
            open("made", "w").close()
            for i in range(20):
                for pid in helpers(): os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)
                # By a path that is walked, and by a plain one, which is opened as it is.
                open("made" if i % 2 else os.path.abspath("made")).close()
            print("goes on")"""), policy=PROC)
        self.assertEqual(out, "goes on\n", err)

    def test_helper_that_is_killed_over_and_over_allows_nothing(self):
        out, err = self.run_in_namespace(HELPERS + textwrap.dedent("""
            import threading
            open("made", "w").close()
            stop = False
            def kill():
                while not stop:
                    for pid in helpers():
                        try: os.kill(pid, signal.SIGKILL)
                        except OSError: pass
            thread = threading.Thread(target=kill)
            thread.start()
            seen = set()
            for i in range(300):
                try: open("../no/secret"); seen.add("secret")
                except OSError as error: seen.add(error.errno)
            stop = True
            open("made").close()
            thread.join()
            print(seen <= {1, 13}, 13 in seen)"""), policy=PROC)
        self.assertEqual(out, "True True\n", err)

    def test_helper_that_is_stopped_holds_up_one_call_until_the_deadline(self):
        out, err = self.run_in_namespace(HELPERS + textwrap.dedent("""
            import threading
            open("made", "w").close()
            [pid] = helpers()
            os.kill(pid, signal.SIGSTOP)
            def read():
                try: open("made")
                except OSError as error: print(error.errno)
            thread = threading.Thread(target=read)
            thread.start()
            time.sleep(0.2)
            start = time.monotonic()
            open("made").close()
            print(time.monotonic() - start < 2)
            thread.join()"""), policy=PROC)
        self.assertEqual(out, "True\n110\n", err)
        self.assertIn("does not answer", err)

    def test_fifo_waits_and_others_go_on(self):
        out, err = self.run_in_namespace("""
            import os, signal, threading
            os.mkfifo("fifo")
            def read(): print(open("fifo").read())
            thread = threading.Thread(target=read)
            thread.start()
            for i in range(50): open("/etc/passwd").close()
            open("fifo", "w").write("through")
            thread.join()
            class Rang(Exception): pass
            def ring(*_): raise Rang
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try: open("fifo")
            except Rang: print("interrupted")""")
        self.assertEqual(out, "through\ninterrupted\n", err)

    def test_no_helper_outlives_the_supervisor(self):
        """Neither one that is stopped."""
        _, err = self.run_in_namespace(HELPERS + textwrap.dedent("""
            open("made", "w").close()
            for pid in helpers(): os.kill(pid, signal.SIGSTOP)"""), policy=PROC)
        mine = str(self.at)
        for _ in range(500):
            left = []
            for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
                try:
                    if comm.read_text() == "callgate-helper\n" and mine in (comm.parent / "cmdline").read_text():
                        left.append(comm.parent.name)
                except OSError:
                    pass
            if not left:
                return
            time.sleep(0.01)
        self.fail(f"{left} are left; {err}")

    def test_attributes_by_name_are_set_with_the_supervisors_rights(self):
        """setxattr of chosen names and values, for a program that may not do it itself."""
        if os.getuid() != 0:
            return
        target = self.at / "t"
        target.mkdir(mode=0o755)
        (target / "f").write_text("")
        out, err = self.run_in_namespace("""
            import os
            for name, value in ("trusted.one", b"1"), ("trusted.one", b"\\0" * 65), ("trusted.two", b"1"), ("user.one", b""):
                try: os.setxattr("../t/f", name, value); print("set", end=" ")
                except OSError as error: print(error.errno, end=" ")
            try: os.setxattr("f", "trusted.one", b"1")
            except OSError as error: print(error.errno)""", policy=POLICY + """
setxattr: path under "DIR/t" && name in {"trusted.one", "user.one"} && size <= 64 -> as_supervisor; else -> errno(EDOM)
""")
        self.assertEqual(out, "set 33 33 set 33\n", err)
        self.assertEqual({name: os.getxattr(target / "f", name) for name in os.listxattr(target / "f")},
                         {"trusted.one": b"1", "user.one": b""})


if __name__ == "__main__":
    unittest.main()
