#!/usr/bin/env python3
"""Whatever breaks, the program never gets what its policy denies, and nobody waits for ever.

usage: supervisor_faults_test.py CALLGATE
"""

import ctypes
import errno
import json
import os
import pathlib
import resource
import signal
import socket
import time

from supervised import POLICY, Supervised, is_over, main, stop


# Asks for the secret and for a file it may have, again and again, until it is told to end.
ASKS = """
    import os, sys
    os.mkdir("ready")
    while not os.access("end", os.F_OK):
        for name in "../no/secret", "/etc/passwd":
            try: print(len(os.read(os.open(name, os.O_RDONLY), 9)) and name)
            except OSError as error: print(error.errno)
"""
OTHER_THREADS_ASK = """
    import os, threading
    def ask():
        while True:
            try:
                fd = os.open("../no/secret", os.O_RDONLY)
                os.write(1, b"secret"); os._exit(3)
            except OSError: pass
    for _ in range(4): threading.Thread(target=ask, daemon=True).start()
    os.mkdir("ready")
    import time; time.sleep(60)
"""


def threads_of(pid):
    return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]


class Faults(Supervised):
    def assert_ends(self, pid):
        for _ in range(500):
            if is_over(pid): return
            time.sleep(0.01)
        self.fail(f"process {pid} stays")

    def test_supervisor_killed_at_any_moment_allows_nothing(self):
        for delay in 0, 0.002, 0.01, 0.05:
            started = self.start(OTHER_THREADS_ASK)
            supervisor = self.supervisor_of(started.pid)
            time.sleep(delay)
            os.kill(supervisor, signal.SIGKILL)
            out, _ = self.finish(started)
            self.assertEqual((started.returncode, out), (-signal.SIGKILL, ""))
            (self.at / "ok" / "ready").rmdir()

    def test_supervisor_stopped_at_any_moment_allows_nothing_and_goes_on(self):
        started = self.start(ASKS)
        supervisor = self.supervisor_of(started.pid)
        for _ in range(20):
            stop(supervisor)
            time.sleep(0.01)
            os.kill(supervisor, signal.SIGCONT)
            time.sleep(0.005)
        (self.at / "ok" / "end").touch()
        out, err = self.finish(started)
        self.assertEqual(started.returncode, 0)
        self.assertEqual(set(out.split()), {"13", "/etc/passwd"})
        self.assertNotIn("ETIMEDOUT", err)

    def test_any_thread_of_the_supervisor_killed_is_the_supervisor_killed(self):
        started = self.start(OTHER_THREADS_ASK)
        supervisor = self.supervisor_of(started.pid)
        others = [tid for tid in threads_of(supervisor) if tid != supervisor]
        self.assertGreaterEqual(len(others), 2)  # it decides, and it watches
        os.kill(others[0], signal.SIGKILL)
        out, _ = self.finish(started)
        self.assertEqual((started.returncode, out), (-signal.SIGKILL, ""))

    def test_programs_killed_in_every_state_leave_the_supervisor_whole(self):
        """Trap 25: an effect is done and its caller is gone."""
        started = self.start("""
            import os, random, signal, time
            random.seed(1)
            for i in range(150):
                child = os.fork()
                if child == 0:
                    for n in range(1000): os.close(os.open("f%d" % (n % 7), os.O_CREAT | os.O_RDWR))
                    os._exit(0)
                time.sleep(random.random() * 0.003)
                os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
            try: os.open("../no/secret", os.O_RDONLY)
            except OSError as error: print(error.errno)
            os.mkdir("ready"); time.sleep(60)""")
        supervisor = self.supervisor_of(started.pid)
        self.assertLess(len(os.listdir(f"/proc/{supervisor}/fd")), 16)
        started.kill()
        out, _ = self.finish(started)
        self.assertEqual(out, "")  # not flushed; it did not die of anything else
        self.assert_ends(supervisor)

    def guardian_of(self, supervisor):
        """The supervisor's only child."""
        for _ in range(500):
            for tid in threads_of(supervisor):
                children = pathlib.Path(f"/proc/{supervisor}/task/{tid}/children").read_text().split()
                if not children or is_over(children[0]): continue
                if pathlib.Path(f"/proc/{children[0]}/comm").read_text() == "callgate-guard\n":
                    return int(children[0])
            time.sleep(0.01)
        self.fail("nobody guards")

    def test_stopped_supervisor_is_stood_in_for(self):
        """Every call that waits, and every later one, fails by its deadline, whatever the supervisor had in hand."""
        started = self.start("""
            import os, threading, time
            os.mkfifo("fifo")
            def ask(name):
                try: print(len(os.read(os.open(name, os.O_RDONLY), 9)) and name)
                except OSError as error: print(error.errno)
            waiting = threading.Thread(target=ask, args=("fifo",)); waiting.start()
            time.sleep(0.2)
            os.mkdir("ready")
            while not os.access("stopped", os.F_OK): time.sleep(0.01)
            begin = time.monotonic()
            for name in "../no/secret", "/etc/passwd": ask(name)
            print(4 < time.monotonic() - begin < 8)
            while os.access("stopped", os.F_OK): time.sleep(0.01)
            waiting.join()
            for name in "../no/secret", "/etc/passwd": ask(name)""")
        supervisor = self.supervisor_of(started.pid)
        self.guardian_of(supervisor)
        stop(supervisor)
        (self.at / "ok" / "stopped").touch()
        time.sleep(8)
        os.kill(supervisor, signal.SIGCONT)
        time.sleep(0.1)
        (self.at / "ok" / "stopped").unlink()
        out, _ = self.finish(started)
        self.assertEqual((started.returncode, sorted(out.split())),
                         (0, sorted(["110", "110", "110", "True", "13", "/etc/passwd"])))

    def test_guardian_killed_or_stopped_changes_nothing_and_comes_again(self):
        started = self.start(ASKS)
        supervisor = self.supervisor_of(started.pid)
        for _ in range(5):
            guardian = self.guardian_of(supervisor)
            os.kill(guardian, signal.SIGSTOP)
            time.sleep(0.02)
            os.kill(guardian, signal.SIGKILL)
            self.assert_ends(guardian)
        guardian = self.guardian_of(supervisor)
        (self.at / "ok" / "end").touch()
        out, err = self.finish(started)
        self.assertEqual(started.returncode, 0)
        self.assertEqual(set(out.split()), {"13", "/etc/passwd"})
        self.assertNotIn("ETIMEDOUT", err)
        self.assert_ends(supervisor)
        self.assert_ends(guardian)

    def test_guardian_dies_with_the_supervisor_even_when_stopped(self):
        """Else it would hold the listener, and calls of processes that nobody traces would wait for ever."""
        for stops in False, True:
            started = self.start("""
                import os, sys, time
                child = os.fork()
                if child: open("ready", "w").close(); time.sleep(60)
                while not os.access("killed", os.F_OK): time.sleep(0.01)
                try: os.mkdir("made")
                except OSError as error: os.write(1, str(error.errno).encode())
                os._exit(0)""", policy="default: allow\nmkdir: else -> errno(EROFS)\n")
            supervisor = self.supervisor_of(started.pid)
            guardian = self.guardian_of(supervisor)
            if stops:
                os.kill(guardian, signal.SIGSTOP)
            os.kill(supervisor, signal.SIGKILL)
            self.assert_ends(guardian)
            (self.at / "ok" / "killed").touch()
            out, _ = self.finish(started)
            self.assertEqual((started.returncode, out), (-signal.SIGKILL, "38"))  # ENOSYS, of the kernel
            (self.at / "ok" / "killed").unlink()
            (self.at / "ok" / "ready").unlink()

    def test_supervisor_killed_or_stopped_while_a_handler_decides(self):
        # Killed: the call fails with ENOSYS when the listener closes, a moment before the tracer's death kills the program.
        for fault, ends in ((signal.SIGKILL, ((-signal.SIGKILL, ""), (-signal.SIGKILL, "38\n"), (0, "38\n"))),
                            (signal.SIGSTOP, ((0, "110\n"),))):
            ours, theirs = socket.socketpair()
            started = self.start("""
                import os
                os.mkdir("ready")
                try: os.read(os.open("../no/secret", os.O_RDONLY), 9); os.write(1, b"secret")
                except OSError as error: print(error.errno)""",
                policy=POLICY.replace("else ->", 'path under "DIR/no" -> notify; else ->', 2).replace(
                    'path under "DIR/no" -> notify; else -> errno(ENOSYS)', "else -> errno(ENOSYS)"),
                options=["--notify-fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
            theirs.close()
            supervisor = self.supervisor_of(started.pid)
            question = json.loads(ours.makefile().readline())
            os.kill(supervisor, fault)
            if fault == signal.SIGSTOP:
                time.sleep(7)
                os.kill(supervisor, signal.SIGCONT)
            try: ours.sendall(json.dumps({"id": question["id"], "verdict": "allow"}).encode() + b"\n")
            except BrokenPipeError: pass
            out, _ = self.finish(started)
            ours.close()
            self.assertIn((started.returncode, out), ends)
            (self.at / "ok" / "ready").rmdir()

    def test_supervisor_stopped_while_a_program_starts_or_ends(self):
        started = self.start("""
            import os, subprocess
            os.mkdir("ready")
            while not os.access("end", os.F_OK):
                done = subprocess.run(["/bin/cat", "../no/secret"], capture_output=True)
                assert done.stdout == b"", done
            print("over")""")
        supervisor = self.supervisor_of(started.pid)
        for i in range(25):
            stop(supervisor)
            time.sleep(0.004 * (i % 5))
            os.kill(supervisor, signal.SIGCONT)
            time.sleep(0.01)
        (self.at / "ok" / "end").touch()
        out, _ = self.finish(started)
        self.assertEqual((started.returncode, out), (0, "over\n"))

    def test_program_stopped_while_it_waits_goes_on(self):
        """Trap 10: SIGSTOP while the call waits for its answer."""
        started = self.start("""
            import os, threading
            os.mkfifo("fifo"); os.mkdir("ready")
            print(open("fifo").read())""")
        self.supervisor_of(started.pid)
        time.sleep(0.1)
        os.kill(started.pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(started.pid, signal.SIGCONT)
        time.sleep(0.1)
        (self.at / "ok" / "fifo").write_text("through")
        out, _ = self.finish(started)
        self.assertEqual(out, "through\n")

    def test_supervisor_without_descriptors_refuses(self):
        """Trap 16: with a hard limit it cannot raise it has as few as the program."""
        for limit in range(8, 24, 3):
            _, out, _ = self.run_program("""
                import os
                for name in "../no/secret", "/etc/passwd", "../no/secret":
                    try: print(len(os.read(os.open(name, os.O_RDONLY), 9)) and name)
                    except OSError as error: print(error.errno)""",
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
            self.assertNotIn("secret", out)

    def test_supervisor_without_memory_allows_nothing(self):
        """Trap 14: whatever fails for want of memory, the secret stays one."""
        for megabytes in 24, 48, 96, 192, 400:
            limit = megabytes << 20
            _, out, _ = self.run_program("""
                import os
                for name in "../no/secret", "/etc/passwd", "../no/secret":
                    try: print(len(os.read(os.open(name, os.O_RDONLY), 9)) and name)
                    except OSError as error: print(error.errno)""",
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
            self.assertNotIn("secret", out)

    def test_more_calls_than_may_wait_fail_and_others_go_on(self):
        started = self.start("""
            import collections, os, threading, time
            os.mkfifo("fifo")
            results = collections.Counter()
            lock = threading.Lock()
            def wait():
                try: os.close(os.open("fifo", os.O_RDONLY)); result = "opened"
                except OSError as error: result = error.errno
                with lock: results[result] += 1
            threads = [threading.Thread(target=wait) for _ in range(200)]
            for t in threads: t.start()
            while results.total() < 136: time.sleep(0.01)
            os.close(os.open("/etc/passwd", os.O_RDONLY))
            try: os.open("../no/secret", os.O_RDONLY)
            except OSError as error: print(error.errno)
            os.mkdir("ready")
            for t in threads: t.join()
            print(sorted(results.items(), key=str))""")
        self.supervisor_of(started.pid)
        writer = os.open(self.at / "ok" / "fifo", os.O_RDWR)
        out, err = self.finish(started)
        os.close(writer)
        self.assertEqual(out, "13\n[('opened', 64), (11, 136)]\n")
        self.assertIn("64 calls of the program are waiting already", err)

    def test_program_has_no_listener(self):
        """Trap 13: none is inherited, none can be had."""
        _, out, _ = self.run_program("""
            import ctypes, os
            names = []
            for fd in os.listdir("/proc/self/fd"):
                try: names.append(os.readlink("/proc/self/fd/" + fd))
                except OSError: pass  # the listing's own
            print([name for name in names if "seccomp" in name], len(names) > 2)
            libc = ctypes.CDLL(None, use_errno=True)
            code = (ctypes.c_uint64 * 1)(0x7fff000000000006)
            program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(code))
            print(libc.syscall(317, 1, 8, program), ctypes.get_errno())""")
        self.assertEqual(out, "[] True\n-1 16\n")

    def test_siblings_of_a_judged_call_are_not_let_through(self):
        """Trap 21: where the default refuses, a call that does the same under another name is refused."""
        _, out, _ = self.run_program("""
            import ctypes, os
            libc = ctypes.CDLL(None, use_errno=True)
            open("f", "w").close()
            os.chmod("f", 0o640)
            for nr, args in ((452, (-100, b"f", 0o666, 0)), (463, (-100, b"f", 0, b"user.x", 0, 0))):
                print(libc.syscall(nr, *args), ctypes.get_errno())
            print(oct(os.stat("f").st_mode & 0o777))""",
            extra='fchmodat, chmod: path under "DIR/ok"\nfchmodat2, setxattrat: else -> errno(EPERM)\n')
        self.assertEqual(out, "-1 1\n-1 1\n0o640\n")

    def test_threads_start_without_clone3(self):
        """Trap 22: its flags are in memory, so it is refused with ENOSYS and libc takes clone."""
        _, out, _ = self.run_program("""
            import threading
            t = threading.Thread(target=lambda: print("started")); t.start(); t.join()""",
            extra="clone3: else -> errno(ENOSYS)\n")
        self.assertEqual(out, "started\n")

    def test_vfork_waits_for_its_child_alone(self):
        """Trap 19: the parent is suspended while its child's calls are performed."""
        _, out, _ = self.run_program("""
            import subprocess
            print(subprocess.run(["/bin/cat", "../no/secret", "/etc/hostname"], capture_output=True, text=True).stderr)
            print(subprocess.run(["/bin/echo", "x"], capture_output=True, text=True).stdout)""")
        self.assertEqual(out, "/bin/cat: ../no/secret: Permission denied\n\nx\n\n")

    def test_program_that_hides_itself_gets_no_more(self):
        """Trap 26: PR_SET_DUMPABLE 0, as the user who runs the test and as another."""
        for become in "", "os.setgroups([]); os.setresgid(4711, 4711, 4711); os.setresuid(4712, 4712, 4712)":
            if become and os.getuid() != 0:
                continue
            self.at.chmod(0o755)
            _, out, _ = self.run_program(f"""
                import ctypes, os
                {become}
                ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
                for name in "../no/secret", "/etc/passwd":
                    try: print(len(os.read(os.open(name, os.O_RDONLY), 9)) and name)
                    except OSError as error: print(error.errno)""")
            self.assertIn(out, ("13\n/etc/passwd\n", "1\n1\n"))

    def test_second_tracer_is_refused_and_changes_nothing(self):
        """Trap 27: strace, or a debugger, at the same time."""
        started = self.start(ASKS)
        self.supervisor_of(started.pid)
        libc = ctypes.CDLL(None, use_errno=True)
        self.assertEqual(libc.ptrace(0x4206, started.pid, 0, 0), -1)  # PTRACE_SEIZE
        self.assertEqual(ctypes.get_errno(), errno.EPERM)
        (self.at / "ok" / "end").touch()
        out, _ = self.finish(started)
        self.assertEqual(set(out.split()), {"13", "/etc/passwd"})


if __name__ == "__main__":
    main()
