#!/usr/bin/env python3
"""What a program under a policy with path rules meets: waiting calls, signals, deaths, full tables. Each case runs a Python
program in a fresh directory under `callgate run` and looks at what it prints and what is left.

usage: supervisor_test.py CALLGATE
"""

import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from supervised import CALLGATE, POLICY, Supervised, audit_of, is_over, stop


class Meets(Supervised):
    def test_denied_file_is_reported_and_not_opened(self):
        status, out, err = self.run_program("""
            try: print(open("../no/secret").read())
            except OSError as error: print(error.strerror)""")
        self.assertEqual((status, out), (0, "Permission denied\n"))
        self.assertRegex(err, r'callgate: denied  openat\(dfd=AT_FDCWD, filename="\.\./no/secret".*→ EACCES')
        self.assertIn("p.cg:3  else -> errno(EACCES)", err)

    def audited(self, program, **more):
        """The decisions about openat of files below the test's folder, and the last line."""
        log = self.at / "audit"
        with open(log, "w") as out:
            self.finish(self.start(program, options=["--audit-fd", str(out.fileno())], pass_fds=[out.fileno()], **more))
        lines = audit_of(log)
        here = str(self.at.resolve())
        return [l for l in lines[:-1] if any(v.startswith(here) for v in l["inputs"].values())], lines[-1]

    def test_audit_log_tells_each_decision(self):
        decisions, counts = self.audited("""
            import os
            open("made", "w").close()
            for name in "../no/secret", "none":
                try: open(name)
                except OSError: pass""")
        here = str(self.at.resolve())
        self.assertEqual([(d["syscall"], d["class"], d["inputs"], d["action"], d["outcome"]) for d in decisions], [
            ("openat", "copied", {"path": here + "/ok/made"}, "allow", "done"),
            ("openat", "copied", {"path": here + "/no/secret"}, "errno(EACCES)", "EACCES"),
            ("openat", "copied", {"path": here + "/ok/none"}, "allow", "ENOENT")])
        denied = decisions[1]
        self.assertEqual((denied["rule"], os.path.basename(denied["place"])), ("else -> errno(EACCES)", "p.cg:3"))
        self.assertEqual(denied["nr"], 257)
        self.assertEqual(denied["args"][0], "0xffffff9c")
        self.assertTrue(0 < denied["latency_ns"] < 5e9 and denied["pid"] == denied["tid"] > 1)
        self.assertEqual(counts["outcomes"]["EACCES"], 1)
        self.assertEqual(counts["decisions"], sum(counts["outcomes"].values()))

    def test_standard_error_takes_reports_and_logs_to_their_last_lines(self):
        for options, denied in (["--audit-fd", "2"], 1), (["--audit-fd", "2", "--status-fd", "2"], 2):
            _, _, err = self.run_program('open("../no/secret")', options=["--json", *options])
            events = [json.loads(line)["event"] for line in err.splitlines() if line.startswith("{")]
            self.assertEqual((events.count("denied"), events.count("exited"), events[-1]), (denied, denied - 1, "counts"))

    def test_audit_log_has_the_class_that_the_plan_gives(self):
        decisions, _ = self.audited("""
            import os
            with open("made", "w") as made:
                os.fchmod(made.fileno(), 0o600)
                os.setxattr(made.fileno(), "user.x", b"")""", extra="""
fchmod: fd.path under "DIR/ok" && fd.type == file; else -> errno(EACCES)
fsetxattr: fd.path under "DIR/ok" && name == "user.x"; else -> errno(EACCES)
""")
        self.assertEqual([(d["syscall"], d["class"]) for d in decisions],
                         [("openat", "copied"), ("fchmod", "object"), ("fsetxattr", "copied")])

    def test_clone3_is_refused_by_its_fields(self):
        _, out, err = self.run_program("""
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            for flags in 0x10000000, 0x10000100, 0:
                args = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, 17)
                print(libc.syscall(435, args, 88), ctypes.get_errno(), flush=True)""",
            extra="clone3: args.flags has CLONE_NEWUSER -> errno(EPERM); else -> errno(ENOSYS)\n")
        self.assertEqual(out, "-1 1\n-1 1\n-1 38\n", err)

    def test_audit_log_has_calls_that_registers_refuse(self):
        status, out, _ = self.run_program("print(1)", options=["--audit-fd", "1"],
                                          policy="default: allow\nmemfd_create: else -> errno(EMFILE)\n")
        self.assertEqual(status, 0)
        self.assertIn('{"event":"counts","outcomes":{},"decisions":0}\n', out)
        _, out, _ = self.run_program("""
            import os
            try: os.memfd_create("x")
            except OSError: pass""", options=["--audit-fd", "1"],
            policy="default: allow\nmemfd_create: else -> errno(EMFILE)\n")
        line = json.loads(out.splitlines()[0])
        self.assertEqual((line["syscall"], line["class"], line["inputs"], line["action"], line["outcome"]),
                         ("memfd_create", "registers", {}, "errno(EMFILE)", "EMFILE"))

    def test_existence_is_not_told(self):
        """A missing file and a denied one look the same where both are denied."""
        _, out, _ = self.run_program("""
            for name in "../no/secret", "../no/missing", "../no/none/missing", "../no/secret/x":
                try: open(name)
                except OSError as error: print(error.errno, end=" ")""")
        self.assertEqual(out, "13 13 13 13 ")

    def test_fifo_waits_for_its_writer_and_other_threads_go_on(self):
        _, out, _ = self.run_program("""
            import os, threading
            os.mkfifo("fifo")
            def read(): print(open("fifo").read())
            thread = threading.Thread(target=read)
            thread.start()
            for i in range(50): open("/etc/passwd").close()
            open("fifo", "w").write("through")
            thread.join()""")
        self.assertEqual(out, "through\n")

    def test_what_the_program_has_closed_is_open_nowhere(self):
        """A writer that does not wait for a reader finds none; nobody is asked about open(2)."""
        _, out, _ = self.run_program("""
            import ctypes, errno, os
            os.mkfifo("fifo")
            libc, seen = ctypes.CDLL(None, use_errno=True), set()
            for i in range(2000):
                os.close(os.open("fifo", os.O_RDONLY | os.O_NONBLOCK))
                seen.add((libc.syscall(2, b"fifo", os.O_WRONLY | os.O_NONBLOCK), ctypes.get_errno()))
            print(seen == {(-1, errno.ENXIO)})""")
        self.assertEqual(out, "True\n")

    def test_waiting_open_returns_eintr_to_a_handler(self):
        _, out, _ = self.run_program("""
            import os, signal, ctypes
            os.mkfifo("fifo")
            class Rang(Exception): pass
            def ring(*_): raise Rang
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try: open("fifo")
            except Rang: print("interrupted")""")
        self.assertEqual(out, "interrupted\n")

    def test_waiting_open_starts_again_after_sa_restart(self):
        """The C library's open: Python's own calls again by itself."""
        _, out, err = self.run_program("""
            import ctypes, os, signal
            os.mkfifo("fifo")
            rings = []
            signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
            signal.siginterrupt(signal.SIGALRM, False)
            signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
            if os.fork() == 0:
                signal.setitimer(signal.ITIMER_REAL, 0)
                import time; time.sleep(0.7)
                os.write(os.open("fifo", os.O_WRONLY), b"late")
                os._exit(0)
            fd = ctypes.CDLL(None).open(b"fifo", os.O_RDONLY)
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(fd > 0 and os.read(fd, 9), len(rings) > 0)""")
        self.assertEqual(out, "b'late' True\n", err)

    def test_fast_timer_disturbs_nothing(self):
        """Trap 10: a signal every 2 ms while files are opened and made."""
        _, out, _ = self.run_program("""
            import os, signal
            rings = []
            signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
            for i in range(2000):
                fd = os.open("file%d" % (i % 10), os.O_CREAT | os.O_WRONLY)
                os.close(fd)
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(len(rings) > 10, sorted(os.listdir("."))[:2], len(os.listdir("/proc/self/fd")) < 8)""")
        self.assertEqual(out, "True ['file0', 'file1'] True\n")

    def test_call_that_hangs_is_refused_in_the_end_and_others_go_on(self):
        """The path lies in memory whose page fault nobody handles: whoever reads it hangs."""
        if os.getuid() != 0:  # userfaultfd(2) for reads by others
            return
        started = self.start("""
            import ctypes, fcntl, mmap, os, struct, threading, time
            libc = ctypes.CDLL(None, use_errno=True)
            uffd = libc.syscall(323, 0)
            fcntl.ioctl(uffd, 0xc018aa3f, bytearray(struct.pack("QQQ", 0xaa, 0, 0)))  # UFFDIO_API
            page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            fcntl.ioctl(uffd, 0xc020aa00, bytearray(struct.pack("QQQQ", address, 4096, 1, 0)))  # UFFDIO_REGISTER
            results = []
            def hang(): results.append((libc.syscall(257, -100, ctypes.c_void_p(address), 0), ctypes.get_errno()))
            threads = [threading.Thread(target=hang) for _ in range(3)]
            begin = time.monotonic()
            for t in threads: t.start()
            time.sleep(0.2)
            for i in range(100): open("/etc/passwd").close()
            print(time.monotonic() - begin < 3, end=" ")
            for t in threads: t.join()
            print(time.monotonic() - begin > 4, results[0])
            open("/etc/passwd").close()""")
        out, err = self.finish(started)
        self.assertEqual(out, "True True (-1, 110)\n")
        self.assertIn("→ ETIMEDOUT", err)
        self.assertRegex(err, "rule      limit of 5 s for a decision +"
                              r"\(a file, a file system or memory that the call names does not answer\)")

    def test_killed_while_waiting_leaves_nothing_behind(self):
        started = self.start("""
            import os
            os.mkfifo("fifo"); os.mkdir("ready")
            open("fifo")""")
        supervisor = self.supervisor_of(started.pid)
        time.sleep(0.2)
        started.kill()
        self.finish(started)
        self.assertEqual(started.returncode, -signal.SIGKILL)
        for _ in range(500):
            if is_over(supervisor):
                return
            time.sleep(0.01)
        self.fail("the supervisor stays")

    def test_killed_supervisor_takes_the_program_along(self):
        started = self.start("""
            import os, time
            os.mkdir("ready"); time.sleep(60)""")
        os.kill(self.supervisor_of(started.pid), signal.SIGKILL)
        self.finish(started)
        self.assertEqual(started.returncode, -signal.SIGKILL)

    def test_stopped_supervisor_allows_nothing(self):
        started = self.start("""
            import os, time
            os.mkdir("ready")
            while not os.access("go", os.F_OK): time.sleep(0.01)
            try: print(open("../no/secret").read())
            except OSError as error: print(error.strerror)""")
        supervisor = self.supervisor_of(started.pid)
        stop(supervisor)
        (self.at / "ok" / "go").touch()
        time.sleep(0.3)
        self.assertIsNone(started.poll())
        os.kill(supervisor, signal.SIGCONT)
        out, _ = self.finish(started)
        self.assertEqual(out, "Permission denied\n")

    def test_full_descriptor_table_is_emfile(self):
        _, out, _ = self.run_program("""
            import os, resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            fds = []
            try:
                while True: fds.append(os.open("/etc/passwd", os.O_RDONLY))
            except OSError as error: print(error.errno, len(fds) > 50)
            os.close(fds.pop())
            os.close(os.open("/etc/passwd", os.O_RDONLY)); print("again")""")
        self.assertEqual(out, "24 True\nagain\n")

    def test_umask_and_set_id_bits_are_the_programs(self):
        _, out, _ = self.run_program("""
            import os, threading
            os.umask(0o077)
            os.close(os.open("a", os.O_CREAT | os.O_WRONLY, 0o666))
            os.umask(0o002)
            os.close(os.open("b", os.O_CREAT | os.O_WRONLY, 0o2666))
            print(oct(os.stat("a").st_mode), oct(os.stat("b").st_mode))""")
        self.assertEqual(out, "0o100600 0o102664\n")

    def test_proc_self_is_the_program(self):
        _, out, _ = self.run_program("""
            import os
            print(open("/proc/self/comm").read().strip(), os.readlink("/proc/self") == str(os.getpid()),
                  open("/proc/self/stat").read().split()[0] == str(os.getpid()),
                  open("/dev/fd/1", "w").fileno() > 2)""")
        self.assertEqual(out, "python3 True True True\n")

    def test_other_processes_memory_is_not_lent(self):
        """The supervisor could open it, being the tracer; the program asks through it."""
        _, out, _ = self.run_program("""
            import os, time
            child = os.fork()
            if child == 0: time.sleep(60)
            for name in "mem", "environ", "maps", "stat":
                try: os.close(os.open(f"/proc/{child}/{name}", os.O_RDONLY)); print(name, end=" ")
                except OSError as error: print(error.errno, end=" ")
            os.kill(child, 9)""")
        self.assertEqual(out, "13 13 13 stat ")

    def test_threads_share_no_answer(self):
        _, out, _ = self.run_program("""
            import os, threading
            for i in range(8): open(f"f{i}", "w").write(str(i))
            wrong = []
            def read(i):
                for _ in range(200):
                    if open(f"f{i}").read() != str(i): wrong.append(i)
            threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
            for t in threads: t.start()
            for t in threads: t.join()
            print(wrong)""")
        self.assertEqual(out, "[]\n")

    def test_working_directory_belongs_to_the_thread(self):
        """Trap 9: a thread that has unshared its directory and its descriptors."""
        _, out, _ = self.run_program("""
            import ctypes, os, threading
            libc = ctypes.CDLL(None, use_errno=True)
            os.mkdir("d"); open("d/x", "w").write("theirs"); open("x", "w").write("mine")
            def other():
                libc.unshare(0x200 | 0x400)  # CLONE_FS | CLONE_FILES
                os.chdir("d")
                fd = os.open("x", os.O_RDONLY)
                print(os.read(fd, 9))
            t = threading.Thread(target=other); t.start(); t.join()
            print(open("x").read())""")
        self.assertEqual(out, "b'theirs'\nmine\n")

    def test_return_does_nothing(self):
        _, out, _ = self.run_program("""
            import os
            print(os.rmdir("/none"))""", extra="rmdir: else -> return(0)\n")
        self.assertEqual(out, "None\n")

    def test_kill_after_a_look(self):
        policy = POLICY.replace('else -> errno(EACCES)', 'path under "DIR/no" -> kill; else -> errno(EACCES)')
        status, out, err = self.run_program("""
            open("../no/secret"); print("alive")""", policy=policy)
        self.assertEqual((status, out), (-signal.SIGKILL, ""))
        self.assertIn("callgate: denied  openat", err)

    def test_no_supervisor_is_refused(self):
        path = self.at / "p.cg"
        path.write_text(POLICY.replace("DIR", str(self.at)))
        done = subprocess.run([CALLGATE, "run", "--no-supervisor", "p.cg", "--", "true"], cwd=self.at,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (
            125, "callgate: p.cg: --no-supervisor leaves nobody to decide what registers do not\n"))

    def test_devices_are_made_for_a_program_in_a_user_namespace(self):
        """mknod filtered by device number, performed for a target that may not do it itself."""
        if os.getuid() != 0:
            return
        policy = POLICY + """mknodat, mknod: mode & 0o170000 == 0o20000 && dev in {dev(1,3), dev(1,5)} && path under "DIR/ok" -> as_supervisor
"""
        policy = policy.replace("default: allow", "default: allow\nprctl: else -> allow")
        path = self.at / "p.cg"
        path.write_text((policy + "umount2: else -> errno(EPERM)\n").replace("DIR", str(self.at)).replace(
            "openat:", "openat: 1 -> continue_unchecked;"))
        os.chmod(self.at, 0o755)
        os.chmod(self.at / "ok", 0o777)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true"], check=True)
        done = subprocess.run(
            [CALLGATE, "run", str(path), "--", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Ur", "sh", "-c",
             "mknod null c 1 3; mknod mem c 1 1; mknod ../no/null c 1 3; ls -ln"],
            cwd=self.at / "ok", capture_output=True, text=True, timeout=30)
        null = (self.at / "ok" / "null").stat()
        self.assertEqual((null.st_mode, null.st_rdev, null.st_uid, null.st_gid),
                         (0o20644, os.makedev(1, 3), 65534, 65534), done.stderr)
        self.assertFalse((self.at / "ok" / "mem").exists())
        self.assertFalse((self.at / "no" / "null").exists())

    def test_root_supervises_a_program_of_another_user(self):
        """What it does for that program it does as that user."""
        if os.getuid() != 0:
            return
        self.at.chmod(0o755)
        (self.at / "ok").chmod(0o777)
        (self.at / "ok" / "mine").write_text("root's")
        (self.at / "ok" / "mine").chmod(0o600)
        _, out, _ = self.run_program("""
            import os
            os.setgroups([]); os.setresgid(4711, 4711, 4711); os.setresuid(4712, 4712, 4712)
            open("made", "w").write("x")
            status = os.stat("made")
            print(status.st_uid, status.st_gid, end=" ")
            try: open("mine")
            except OSError as error: print(error.errno, end=" ")
            try: open("/proc/sys/kernel/hostname", "w")
            except OSError as error: print(error.errno)""")
        self.assertEqual(out, "4712 4711 13 13\n")

    def test_chrooted_program_has_its_own_root(self):
        if os.getuid() != 0:
            return
        (self.at / "ok" / "jail" / "DIR").mkdir(parents=True)
        _, out, _ = self.run_program("""
            import os
            os.chroot("jail"); os.chdir("/")
            open("in", "w").write("in the jail")
            for name in "/in", "../../in", "/usr/x", "/no":
                try: print(open(name, "r" if "in" in name else "w").name, end=" ")
                except OSError as error: print(error.errno, end=" ")""",
            policy=POLICY.replace('path under "DIR/ok"', 'path under "DIR/ok" || path == "/in"'))
        self.assertEqual(out, "/in ../../in 2 13 ")

    def test_who_changes_itself_is_not_taken_for_who_it_was(self):
        """Groups and root, of a thread whose calls were performed before; and a thread that takes over another one's id."""
        if os.getuid() != 0:
            return
        self.at.chmod(0o755)
        (self.at / "ok" / "jail").mkdir()
        (self.at / "ok" / "jail" / "in").write_text("in")
        for name in "group", "jail/group":
            (self.at / "ok" / name).write_text("for a group")
            os.chown(self.at / "ok" / name, 0, 4711)
            (self.at / "ok" / name).chmod(0o640)
        _, out, _ = self.run_program("""
            import ctypes, os, threading
            syscall = ctypes.CDLL(None).syscall
            def tries(name="group"):
                try: os.close(os.open(name, os.O_RDONLY)); print(end="y", flush=True)
                except OSError as error: print(end="n", flush=True)
            def in_child(work):
                child = os.fork()
                if child: return os.waitpid(child, 0)
                work(); os._exit(0)
            def thread_with_group(work):
                def body():
                    tries(); syscall(116, 1, (ctypes.c_uint * 1)(4711)); tries(); work()
                thread = threading.Thread(target=body); thread.start(); thread.join()
            def keeps_capabilities():  # those of setgroups and chroot alone
                ctypes.CDLL(None).prctl(8, 1, 0, 0, 0)
                os.setgroups([]); os.setresgid(4712, 4712, 4712); os.setresuid(4712, 4712, 4712)
                few = (ctypes.c_uint * 6)(0x40040, 0x40040, 0, 0, 0, 0)
                assert syscall(126, (ctypes.c_uint * 2)(0x20080522, 0), few) == 0
            keeps_capabilities()
            def groups(): tries(); os.setgroups([4711]); tries(); os.setgroups([]); tries()
            in_child(groups)
            print(flush=True)
            in_child(lambda: (tries(), thread_with_group(lambda: None), tries()))
            print(flush=True)
            def takes_over():
                os.execv("/bin/cat", ["cat", "group"])
            in_child(lambda: (tries(), thread_with_group(takes_over)))
            print(flush=True)
            def roots(): tries("/in"); os.chroot("jail"); tries("/in"); os.chdir("/"); tries("in")
            in_child(roots)""", policy=POLICY.replace('path under "DIR/ok"', 'path under "DIR/ok" || path == "/in"'))
        self.assertEqual(out, "nyn\nnnyn\nnnyfor a group\nnyy")


if __name__ == "__main__":
    unittest.main()
