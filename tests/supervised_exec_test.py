#!/usr/bin/env python3
"""What programs may be started under a policy that judges them: by path, by interpreter, by arguments, by variables. Each
case runs a Python program in a fresh directory under `callgate run`, as root and as another user, and looks at what it
prints and what is reported.

usage: supervised_exec_test.py CALLGATE
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import textwrap
import unittest

from supervised import CALLGATE, PYTHON, audit_of

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
USERS = [[], NOBODY] if os.getuid() == 0 else [[]]
LINKER = "/lib64/ld-linux-x86-64.so.2"
# Tells how a start ended: what was printed, or why there was none.
PROLOGUE = """
import ctypes, os, signal, subprocess, sys
def start(*argv, **more):
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **more)
        return done.stdout.strip() if done.returncode == 0 else signal.Signals(-done.returncode).name
    except OSError as error: return error.strerror
"""


class Starts(unittest.TestCase):
    def run_program(self, rule, program, users=USERS, options=(), policy="default: allow\nexecve, execveat: {}; else -> errno(EACCES)\n", pass_fds=()):
        """Yields (output, errors) for each user. DIR in texts is the directory, PYTHON the interpreter's own file."""
        for user in users:
            with self.subTest(user=user[:1] or "this"), tempfile.TemporaryDirectory() as folder:
                at = pathlib.Path(os.path.realpath(folder))
                at.chmod(0o777)
                for name, text in self.files.items():
                    (at / name).write_text(text.replace("DIR", str(at)))
                    (at / name).chmod(0o755)
                shutil.copy("/usr/bin/id", at / "copy")
                (at / "copy").chmod(self.copy_mode)
                fill = lambda text: text.replace("DIR", str(at)).replace("PYTHON", os.path.realpath(PYTHON))
                (at / "p.cg").write_text(fill(policy.format(rule)))
                (at / "p.cg").chmod(0o644)
                command = [*user, CALLGATE, "run", *options, "p.cg", "--", PYTHON, "-I", "-c",
                           PROLOGUE + textwrap.dedent(fill(program))]
                done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=60, pass_fds=pass_fds,
                                      env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
                self.at, self.err = str(at), done.stderr
                yield done.stdout.strip(), done.stderr.replace(str(at), "DIR")

    def setUp(self):
        self.files = {}
        self.copy_mode = 0o755

    def expect(self, rule, program, wanted, **more):
        for out, err in self.run_program(rule, program, **more):
            self.assertEqual(out.replace(self.at, "DIR"), wanted, err)

    def test_by_path(self):
        for out, err in self.run_program('filename == "/usr/bin/true"', """
                print(start("true"), start("id"), start("/bin/../bin/true"), start("./copy"), start("none"), sep=",")"""):
            self.assertEqual(out, ",Permission denied,,Permission denied,Permission denied")
            self.assertIn('callgate: denied  execve(filename="/usr/bin/id"', err)

    def test_errors_of_allowed_programs_are_the_kernels(self):
        self.files = {"plain": "x"}
        self.expect('filename under "DIR"', """
            print(start("./none"), start("./plain"), start("./plain/x"), start("."), sep=",")""",
                    "No such file or directory,Exec format error,Not a directory,Permission denied")

    def test_script_needs_its_interpreter(self):
        self.files = {"s": "#!/bin/sh -u\necho $0 $1\n"}
        run = 'print(start("./s", "x"))'
        self.expect('filename == "DIR/s" || filename == "/usr/bin/dash"', run, "./s x")
        for out, err in self.run_program('filename == "DIR/s"', run):
            self.assertEqual(out, "Permission denied")
            self.assertIn("it is a script, and /usr/bin/dash is to run it", err)
        self.expect('filename == "/usr/bin/dash"', run, "Permission denied")

    def test_interpreter_for_one_script_only(self):
        self.files = {"s": "#!/bin/sh -u\necho $0 $1\n", "t": "#!/bin/sh\necho t\n", "n": "#!DIR/s\n"}
        self.expect(
            'filename in {"DIR/s", "DIR/n"}; filename == "/usr/bin/dash" && argv[1] == "-u" && argv[2] == "DIR/s"', """
            print(start("DIR/s", "x"), start("./t"), start("DIR/t"), start("sh", "-c", "echo c"), start("sh", "-u", "DIR/s", "y"),
                  start("DIR/n"), start("./s", "x"), sep=",")""",
            "DIR/s x,Permission denied,Permission denied,Permission denied,DIR/s y,DIR/s DIR/n,Permission denied")

    def test_dynamic_linker_is_a_program(self):
        self.expect('filename in {"/usr/bin/true", "/usr/bin/id"}', f"""
            print(start("id", "-nu") in ("root", "nobody"), start("{LINKER}", "/usr/bin/id"), start("{LINKER}", "./copy"), sep=",")""",
                    "True,Permission denied,Permission denied")

    def test_memfd_has_no_path(self):
        program = """
            fd = os.memfd_create("usr/bin/true", 0)
            os.write(fd, open("/usr/bin/true", "rb").read())
            def by_descriptor():
                if os.fork() == 0:
                    try: os.execve(fd, ["true"], {})
                    except OSError as error: os._exit(error.errno)
                return os.waitstatus_to_exitcode(os.wait()[1])
            print(start(f"/proc/self/fd/{fd}", close_fds=False), by_descriptor(), sep=",")"""
        self.expect('filename under "/"', program, "Permission denied,13")
        self.expect('filename == "/usr/bin/true"', program, "Permission denied,13")
        self.expect('filename ~ "memfd:usr/bin/true (deleted)"', program, ",0")

    def test_descriptor_is_its_file(self):
        program = """
            def by(path):
                fd = os.open(path, os.O_RDONLY)
                if os.fork() == 0:
                    try: os.execve(fd, ["x"], {})
                    except OSError as error: os._exit(error.errno)
                os.close(fd)
                return os.waitstatus_to_exitcode(os.wait()[1])
            print(by("/usr/bin/true"), by("/usr/bin/id"))"""
        self.expect('filename == "/usr/bin/true"', program, "0 13")

    def test_proc_self_exe_is_the_program(self):
        program = 'print(start("/proc/self/exe", "-I", "-c", "print(1)"))'
        self.expect('filename == "PYTHON"', program, "1")
        self.expect('filename == "/proc/self/exe"', program, "Permission denied")

    def test_arguments(self):
        self.expect('filename == "/usr/bin/echo" && argv[1] in {"a", "b"} && argv.count == 2', """
            print(start("echo", "a"), start("echo", "b"), start("echo", "c"), start("echo", "a", "b"), start("echo"), sep=",")""",
                    "a,b,Permission denied,Permission denied,Permission denied")

    def test_variables(self):
        self.expect('!(envp.LD_PRELOAD ~ "**") && envp.HOME == "/"', """
            print(start("echo", "1", env={"HOME": "/"}), start("echo", "2", env={"HOME": "/", "LD_PRELOAD": ""}),
                  start("echo", "3", env={"HOME": "/root"}), start("echo", "4", env={}), sep=",")""",
                    "1,Permission denied,Permission denied,Permission denied")

    def test_variable_that_is_set_twice(self):
        self.expect('envp.A == "1"', """
            libc = ctypes.CDLL(None, use_errno=True)
            strings = lambda *texts: (ctypes.c_char_p * (len(texts) + 1))(*texts, None)
            for variables in strings(b"A=1", b"A=2"), strings(b"A=1", b"AB=2"):
                if os.fork() == 0:
                    libc.execve(b"/usr/bin/true", strings(b"true"), variables)
                    os._exit(ctypes.get_errno())
                print(os.waitstatus_to_exitcode(os.wait()[1]))""", "22\n0")

    def test_any_thread_may_start_one(self):
        program = """
            import threading
            if os.fork() == 0:
                def other():
                    try: os.execv("/usr/bin/%s", ["x", "-u"])
                    except OSError as error: os._exit(error.errno)
                threading.Thread(target=other).start()
                signal.pause()
            print(os.waitstatus_to_exitcode(os.wait()[1]))"""
        self.expect('filename == "/usr/bin/true"', program % "true", "0")
        self.expect('filename == "/usr/bin/true"', program % "id", "13")

    def test_failed_start_is_not_taken_for_a_later_one(self):
        """By registers alone the second is allowed; what was remembered of the first must not kill it."""
        self.expect('flags has AT_EMPTY_PATH; filename == "DIR/none"; else -> errno(EACCES)', """
            libc = ctypes.CDLL(None, use_errno=True)
            strings = lambda *texts: (ctypes.c_char_p * (len(texts) + 1))(*texts, None)
            if os.fork() == 0:
                libc.execveat(-100, b"none", strings(b"x"), strings(), 0)
                fd = os.open("/usr/bin/true", os.O_RDONLY)
                libc.execveat(fd, b"", strings(b"x"), strings(), 0x1000)
            print(os.waitstatus_to_exitcode(os.wait()[1]))""", "0",
                    policy="default: allow\nexecve: else -> errno(EACCES)\nexecveat: {}\n")

    def test_audit_log_has_both_decisions(self):
        self.copy_mode = 0o111
        with tempfile.NamedTemporaryFile() as log:
            list(self.run_program('filename == "DIR/copy"', 'print(start("./copy"))', users=USERS[-1:],
                                  options=["--audit-fd", str(log.fileno())], pass_fds=[log.fileno()]))
            outcomes = [(line["class"], line["outcome"]) for line in audit_of(pathlib.Path(log.name)) if line.get("syscall") == "execve"]
        # Of one call: allowed as far as it could be seen, then killed. Two threads write that.
        self.assertEqual(sorted(outcomes), [("pinned", "done"), ("pinned", "killed")])

    def test_in_a_user_namespace_of_its_own(self):
        """By the names it has in our root; with mounts of its own they are the program's to give."""
        program = """
            for namespaces, name in ("-Ur", "true"), ("-Ur", "id"), ("-Ur", "DIR/s"), ("-Urm", "true"):
                print(subprocess.run(["unshare", namespaces, name], stderr=subprocess.DEVNULL).returncode, end=" ", flush=True)"""
        rule = 'filename in {"/usr/bin/unshare", "/usr/bin/true", "DIR/s", "/usr/bin/dash"}'
        self.files = {"s": "#!/bin/sh\nexit 7\n"}
        for out, err in self.run_program(rule, program):
            self.assertEqual(out, "0 126 7 126", err)
            self.assertIn("other mounts, and could give files any name", err)
        names = "mount, umount2, move_mount, open_tree, open_tree_attr, fsmount, chroot, pivot_root, setns\n"
        self.expect(rule, program, "0 126 7 0", policy="default: allow\n" + names + "execve, execveat: {}; else -> errno(EACCES)\n")

    def test_unreadable_program_is_killed(self):
        """A supervisor without privilege cannot see what was loaded."""
        self.copy_mode = 0o111
        for out, err in self.run_program('filename == "DIR/copy"', 'print(start("./copy"))', users=USERS[-1:]):
            self.assertEqual(out, "SIGKILL")
            self.assertIn("the supervisor has not the rights to look at what was loaded", err)
            self.assertIn("→ SIGKILL (kill)", err)


if __name__ == "__main__":
    unittest.main()
