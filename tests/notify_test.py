#!/usr/bin/env python3
"""Handlers outside (`notify`, --notify-fd): those that answer as they should, and those that do not answer, answer too late,
answer garbage, do not read, or die. What is not allowed in so many words is denied.

usage: notify_test.py CALLGATE
"""

import json
import os
import signal
import socket
import threading
import time
import unittest

from supervised import POLICY, Supervised

ASKING = POLICY.replace('else -> errno(EACCES)', 'path under "DIR/no" -> notify; else -> errno(EACCES)')
# Of a program that is root of a user namespace of its own, where a helper makes its calls.
ELSEWHERE = ["unshare", "--user", "--map-root-user"]
READS = """
    for i in range(COUNT):
        try: print(open("../no/secret").read(), end="")
        except OSError as error: print(error.errno)
"""


class Notify(Supervised):
    def with_handler(self, program, serve, policy=ASKING, extra="", options=(), room=None, **more):
        """Runs the program with `serve(socket)` in a thread; `serve` may close it. `room`: bytes that wait to be read."""
        ours, theirs = socket.socketpair()
        if room:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self.addCleanup(ours.close)
        started = self.start(program, policy=policy, extra=extra, options=["--notify-fd", str(theirs.fileno()), *options],
                             pass_fds=[theirs.fileno(), *more.pop("pass_fds", ())], **more)
        theirs.close()
        thread = threading.Thread(target=serve, args=(ours,), daemon=True)
        thread.start()
        out, err = self.finish(started)
        ours.close()
        return started.returncode, out, err

    def answering(self, answer, asked=None):
        """A handler that gives each question's answer, a dictionary without the id, or raw bytes."""
        def serve(end):
            try:
                for line in end.makefile():
                    question = json.loads(line)
                    if asked is not None:
                        asked.append(question)
                    reply = answer(question) if callable(answer) else answer
                    if isinstance(reply, dict):
                        reply = json.dumps({"id": question["id"], **reply}).encode() + b"\n"
                    end.sendall(reply)
            except OSError:
                pass  # it is over
        return serve

    def test_allowed_call_is_performed(self):
        asked = []
        status, out, err = self.with_handler(READS.replace("COUNT", "1"), self.answering({"verdict": "allow"}, asked))
        self.assertEqual((status, out, err), (0, "secret\n", ""))
        [question] = asked
        secret = str((self.at / "no" / "secret").resolve())
        self.assertEqual(question["call"],
                         'openat(dfd=AT_FDCWD, filename="../no/secret", flags=O_RDONLY|O_CLOEXEC, mode=0)')
        self.assertEqual((question["id"], question["syscall"], question["nr"], question["inputs"], question["process"]),
                         (1, "openat", 257, {"filename": secret}, "python3"))
        self.assertEqual(len(question["args"]), 6)
        self.assertTrue(question["place"].endswith("p.cg:3") and question["rule"].endswith("-> notify"), question)
        self.assertGreater(question["pid"], 1)

    def test_verdicts_are_carried_out(self):
        for verdict, out in (("deny", "1\n"), ("errno(EACCES)", "13\n"), ("errno(7)", "7\n"), ("continue_unchecked", "secret\n")):
            got = self.with_handler(READS.replace("COUNT", "1"), self.answering({"verdict": verdict}))
            self.assertEqual(got[:2], (0, out), verdict)
        got = self.with_handler("""
            import os
            print(os.open("../no/secret", os.O_RDONLY))""", self.answering({"verdict": "return(77)"}))
        self.assertEqual(got, (0, "77\n", ""))

    def test_kill_is_reported_and_kills(self):
        status, out, err = self.with_handler(READS.replace("COUNT", "1"), self.answering({"verdict": "kill", "reason": "x\x1by"}))
        self.assertEqual((status, out), (-signal.SIGKILL, ""))
        self.assertIn(r"(the handler: x\x1by)", err)

    def test_denial_says_who_denied(self):
        _, _, err = self.with_handler(READS.replace("COUNT", "1"), self.answering({"verdict": "deny", "reason": "not today"}))
        self.assertRegex(err, r'callgate: denied  openat\(.*"\.\./no/secret".*→ EPERM')
        self.assertRegex(err, r'p.cg:3  path under "[^"]*/no" -> notify +\(the handler: not today\)')

    def test_verdicts_that_are_none_deny(self):
        for verdict in ("", "Allow", "allow ", "errno(0)", "errno(5000)", "errno(EWHAT)", "errno", "errno()", "return(x)", "ask",
                        "notify", "as_supervisor", "log", 1, None, ["allow"], True):
            status, out, err = self.with_handler(READS.replace("COUNT", "1"), self.answering({"verdict": verdict}))
            self.assertEqual((status, out), (0, "1\n"), verdict)
            self.assertIn("the handler's verdict is none: '", err)

    def test_lines_that_are_no_answers_end_the_conversation(self):
        for line in (b"allow\n", b"{}\n", b"\n", b"[1]\n", b'{"id":"1","verdict":"allow"}\n', b'{"id":1.0,"verdict":"allow"}\n',
                     b'{"id":-1,"verdict":"allow"}\n', b'{"id":0,"verdict":"allow"}\n', b'{"id":2,"verdict":"allow"}\n',
                     b'{"id":1,"verdict":"allow"\n', b'{"id":1,"verdict":"allow"}}\n', b"\xff\xfe\n", b"[" * 100000 + b"\n"):
            status, out, err = self.with_handler(READS.replace("COUNT", "3"), self.answering(lambda _: line))
            self.assertEqual((status, out), (0, "1\n1\n1\n"), line[:80])
            self.assertIn("(the handler wrote what is no answer: ", err)

    def test_line_without_an_end_is_not_kept(self):
        status, out, err = self.with_handler(READS.replace("COUNT", "1"), self.answering(lambda _: b"x" * 400000))
        self.assertEqual((status, out), (0, "1\n"))
        self.assertIn("(the handler wrote a line without an end)", err)

    def test_answers_may_come_in_pieces_and_out_of_order(self):
        def serve(end):
            lines = end.makefile()
            ids = [json.loads(lines.readline())["id"] for _ in range(4)]
            whole = "".join(json.dumps({"verdict": "allow" if i % 2 else "errno(ENOENT)", "id": i}) + "\n" for i in reversed(ids))
            for byte in whole.encode():
                end.send(bytes([byte]))
        status, out, _ = self.with_handler("""
            import threading
            results = []
            def read():
                try: results.append(open("../no/secret").read().strip())
                except OSError as error: results.append(error.errno)
            threads = [threading.Thread(target=read) for _ in range(4)]
            for t in threads: t.start()
            for t in threads: t.join()
            print(sorted(results, key=str))""", serve)
        self.assertEqual((status, out), (0, "[2, 2, 'secret', 'secret']\n"))

    def test_dead_handler_denies_at_once(self):
        # The program takes the time, so that its own start does not count.
        program = "\n    import time; begin = time.monotonic()" + READS.replace("COUNT", "2") + "    print(time.monotonic() - begin < 4)\n"
        status, out, err = self.with_handler(program, lambda end: end.close())
        self.assertEqual((status, out), (0, "1\n1\nTrue\n"))
        self.assertRegex(err, r"\(the handler (is gone|does not read, or is gone)\)")

    def test_handler_that_dies_with_a_question_denies_it(self):
        def serve(end):
            end.recv(1)
            end.close()
        status, out, err = self.with_handler(READS.replace("COUNT", "2"), serve)
        self.assertEqual((status, out), (0, "1\n1\n"))
        self.assertIn("(the handler is gone)", err)

    def test_slow_handler_denies_and_its_late_answer_is_for_nobody(self):
        def serve(end):
            lines = end.makefile()
            first = json.loads(lines.readline())["id"]
            second = json.loads(lines.readline())["id"]
            for verdict, i in (("allow", first), ("errno(ENOENT)", second)):
                end.sendall(json.dumps({"id": i, "verdict": verdict}).encode() + b"\n")
        begin = time.monotonic()
        status, out, err = self.with_handler(READS.replace("COUNT", "2"), serve)
        self.assertEqual((status, out), (0, "1\n2\n"))
        self.assertIn("(the handler has not answered within 4000 ms)", err)
        self.assertLess(time.monotonic() - begin, 7)

    def test_others_go_on_while_a_handler_thinks(self):
        def serve(end):
            question = json.loads(end.makefile().readline())
            time.sleep(1.5)
            end.sendall(json.dumps({"id": question["id"], "verdict": "allow"}).encode() + b"\n")
        status, out, _ = self.with_handler("""
            import threading, time
            thread = threading.Thread(target=lambda: print(open("../no/secret").read(), end=""))
            thread.start(); time.sleep(0.2)
            begin = time.monotonic()
            for i in range(200): open("/etc/passwd").close()
            print(time.monotonic() - begin < 1)
            thread.join()""", serve)
        self.assertEqual((status, out), (0, "True\nsecret\n"))

    def test_handler_that_does_not_read_denies(self):
        status, out, err = self.with_handler("""
            import collections, threading
            results = collections.Counter()
            def read():
                try: open("../no/secret"); results["opened"] += 1
                except OSError as error: results[error.errno] += 1
            threads = [threading.Thread(target=read) for _ in range(24)]
            for t in threads: t.start()
            for t in threads: t.join()
            print(results["opened"], results[1] + results[110])""", lambda end: time.sleep(20), room=2048)
        self.assertEqual((status, out), (0, "0 24\n"))
        self.assertRegex(err, "the handler (does not read|stopped reading|has not answered)")

    def test_caller_that_is_killed_frees_its_place(self):
        asked = []
        def serve(end):
            for line in end.makefile():
                asked.append(json.loads(line))
        status, out, _ = self.with_handler("""
            import os, signal, time
            children = []
            for i in range(80):
                child = os.fork()
                if child == 0: open("../no/secret"); os._exit(0)
                time.sleep(0.01)
                os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
            print(open("/etc/passwd").read(4))""", serve)
        self.assertEqual((status, out), (0, "root\n"))
        self.assertGreater(len(asked), 8)

    def test_name_that_is_no_utf8_cannot_be_told(self):
        status, out, err = self.with_handler(r"""
            import os
            try: os.open(b"../no/\xff", os.O_RDONLY)
            except OSError as error: print(error.errno)""", self.answering({"verdict": "allow"}))
        self.assertEqual((status, out), (0, "1\n"))
        self.assertIn("(a handler cannot be told: a name that is no UTF-8, or too much of it)", err)

    def test_what_is_told_is_what_is_opened(self):
        """While the handler thinks, the name leads elsewhere; the file that was told is opened."""
        def serve(end):
            for line in end.makefile():
                question = json.loads(line)
                secret = self.at / "no" / "secret"
                (self.at / "no" / "other").write_text("swapped\n")
                os.rename(self.at / "no" / "other", secret)
                end.sendall(json.dumps({"id": question["id"], "verdict": "allow"}).encode() + b"\n")
        status, out, _ = self.with_handler(READS.replace("COUNT", "1"), serve)
        self.assertEqual((status, out), (0, "secret\n"))

    def test_registers_are_told_and_the_kernel_goes_on(self):
        asked = []
        answer = lambda q: {"verdict": "allow" if "family=AF_UNIX" in q["call"] else "errno(EAFNOSUPPORT)"}
        status, out, _ = self.with_handler("""
            import socket
            socket.socket(socket.AF_UNIX).close()
            try: socket.socket(socket.AF_INET)
            except OSError as error: print(error.errno)""", self.answering(answer, asked),
            policy="default: allow\nsocket: else -> notify\n")
        self.assertEqual((status, out), (0, "97\n"))
        self.assertEqual([q["inputs"] for q in asked], [{}, {}])

    def test_helper_makes_what_is_allowed(self):
        """Of a program in a user namespace of its own, where a process that has entered it makes the calls."""
        asked = []
        program = """
            import os
            open("made", "w").close()
            for name, owner in (("made", 0), ("made", 1), ("../no/secret", 0)):
                try: os.chown(name, owner, 0); print("done", flush=True)
                except OSError as error: print(error.errno, flush=True)"""
        def answer(question):
            return {"verdict": "allow"} if question["inputs"]["filename"].endswith("made") else {"verdict": "errno(EDOM)"}
        (self.at / "ok").chmod(0o777)
        _, out, err = self.with_handler(program, self.answering(answer, asked), prefix=ELSEWHERE,
                                        extra="chown: else -> notify\n")
        # 22: the namespace has no such user, says who makes the call there.
        self.assertEqual(out, "done\n22\n33\n", err)
        here = str(self.at.resolve())
        self.assertEqual([q["inputs"]["filename"] for q in asked], [here + "/ok/made"] * 2 + [here + "/no/secret"])

    def test_helper_opens_what_was_told(self):
        """The name leads elsewhere by the time of the answer."""
        (self.at / "no" / "other").write_text("other\n")
        link = self.at / "ok" / "link"
        link.symlink_to("../no/secret")
        def answer(question):
            link.unlink()
            link.symlink_to("../no/other")
            return {"verdict": "allow"}
        _, out, err = self.with_handler('print(open("link").read(), end="")', self.answering(answer), prefix=ELSEWHERE)
        self.assertEqual(out, "secret\n", err)

    def test_helper_whose_handler_is_dead_makes_nothing(self):
        _, out, err = self.with_handler(READS.replace("COUNT", "2"), lambda end: end.close(), prefix=ELSEWHERE)
        self.assertEqual(out, "1\n1\n", err)

    def test_where_it_goes_must_be_what_was_told(self):
        """A directory that is swapped while the handler thinks."""
        link = self.at / "ok" / "link"
        link.symlink_to("in")
        (self.at / "ok" / "in").mkdir()
        def answer(question):
            if swaps:
                link.unlink()
                link.symlink_to("../no")
            return {"verdict": "allow"}
        for swaps, wanted, status in ((False, str(self.at.resolve()) + "/ok/in\n", 0), (True, "", -signal.SIGKILL)):
            got, out, err = self.with_handler("import os; os.chdir('link'); print(os.getcwd())", self.answering(answer),
                                              extra="chdir: else -> notify\n")
            self.assertEqual((got, out), (status, wanted), err)
        self.assertIn("it has come to " + str(self.at.resolve()) + "/no: killed before its next instruction", err)

    def test_address_is_told_in_parts(self):
        asked = []
        status, out, _ = self.with_handler("""
            import socket
            for where in ("127.0.0.1", 9), ("127.0.0.2", 10):
                try: socket.socket(socket.AF_INET).connect(where)
                except OSError as error: print(error.errno)""",
            self.answering(lambda q: {"verdict": "allow" if q["inputs"]["uservaddr.port"] == 9 else "deny"}, asked),
            policy="default: allow\nio_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)\nconnect: else -> notify\n")
        self.assertEqual((status, out), (0, "111\n1\n"))
        self.assertEqual([(q["inputs"]["uservaddr.family"], q["inputs"]["uservaddr.ip"], q["inputs"]["fd.type"]) for q in asked],
                         [(2, "127.0.0.1", "socket"), (2, "127.0.0.2", "socket")])

    def test_program_that_is_started_must_be_the_one_that_was_told(self):
        asked = []
        policy = ("default: allow\nio_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)\n"
                  "execve: else -> notify\nexecveat: else -> errno(ENOSYS)\n")
        script = self.at / "ok" / "script"
        script.write_text("#!/bin/echo from\n")
        script.chmod(0o755)
        answer = lambda q: {"verdict": "deny" if q["inputs"]["filename"].endswith("/id") else "allow"}
        status, out, _ = self.with_handler("""
            import subprocess
            print(subprocess.run(["/bin/echo", "a", "b"], capture_output=True).stdout)
            print(subprocess.run(["./script", "x"], capture_output=True).stdout)
            try: subprocess.run(["/usr/bin/id"])
            except OSError as error: print(error.errno)""", self.answering(answer, asked), policy=policy)
        self.assertEqual((status, out), (0, "b'a b\\n'\nb'from ./script x\\n'\n1\n"))
        told = [(q["inputs"]["filename"], q["inputs"]["argv.count"], q["inputs"].get("argv[1]")) for q in asked]
        self.assertEqual(told, [("/usr/bin/echo", 3, "a"), (str(script.resolve()), 2, "x"), ("/usr/bin/echo", 4, "from"),
                                ("/usr/bin/id", 1, None)])

    def test_program_that_is_swapped_while_the_handler_thinks_is_killed(self):
        policy = ("default: allow\nio_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)\n"
                  "execve: else -> notify\nexecveat: else -> errno(ENOSYS)\n")
        tool = self.at / "ok" / "tool"
        tool.symlink_to("/bin/echo")
        def serve(end):
            for line in end.makefile():
                question = json.loads(line)
                tool.unlink()
                tool.symlink_to("/usr/bin/id")
                end.sendall(json.dumps({"id": question["id"], "verdict": "allow"}).encode() + b"\n")
        status, out, err = self.with_handler("""
            import subprocess
            done = subprocess.run(["./tool"], capture_output=True)
            print(done.returncode, done.stdout)""", serve, policy=policy)
        self.assertEqual((status, out), (0, "-9 b''\n"))
        self.assertIn("what was loaded is /usr/bin/id: killed before its first instruction", err)

    def test_default_may_be_the_handlers(self):
        asked = []
        answer = lambda q: {"verdict": "errno(ENOTDIR)" if q["syscall"] == "mkdir" else "allow"}
        status, out, _ = self.with_handler("""
            import os
            try: os.mkdir("x")
            except OSError as error: print(error.errno)""", self.answering(answer, asked), policy="default: notify\nread, write\n")
        self.assertEqual((status, out), (0, "20\n"))
        self.assertIn("execve", {"execve"} | {q["syscall"] for q in asked})
        self.assertNotIn("read", {q["syscall"] for q in asked})

    def test_audit_log_has_the_answer(self):
        log = self.at / "audit"
        with open(log, "w") as out:
            self.with_handler(READS.replace("COUNT", "1"), self.answering({"verdict": "errno(EACCES)"}),
                              options=["--audit-fd", str(out.fileno())], pass_fds=[out.fileno()])
        for _ in range(500):
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            if lines and lines[-1]["event"] == "counts":
                break
            time.sleep(0.01)
        [line] = [l for l in lines if l.get("action") == "notify"]
        self.assertEqual((line["answer"], line["outcome"], line["class"]), ("errno(EACCES)", "EACCES", "copied"))

    def test_program_does_not_have_the_socket(self):
        _, out, _ = self.with_handler("""
            import os
            print(sum("socket:" in os.readlink("/proc/self/fd/" + fd)
                      for fd in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + fd)))""",
            self.answering({"verdict": "allow"}))
        self.assertEqual(out, "0\n")


if __name__ == "__main__":
    unittest.main()
