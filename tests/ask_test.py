#!/usr/bin/env python3
"""`ask`: a person at a terminal decides. Each case runs a Python program under `callgate run` on a new terminal, types, and looks
at what the program got, what the screen showed and what the policy file says.

usage: ask_test.py CALLGATE
"""

import os
import pathlib
import re
import signal
import subprocess
import termios
import textwrap
import time
import unittest

from supervised import CALLGATE, POLICY, PYTHON, Supervised
from terminal_test import Terminal

ASKING = POLICY.replace("else -> errno(EACCES)", "path under \"DIR/no\" -> ask; else -> errno(EACCES)")
# Prints to a file: the screen is for the questions.
SAYS = """
    import os, sys
    def say(*words):
        with open("said", "a") as out: print(*words, file=out)
    def read(name="../no/secret"):
        try: say(open(name).read().strip())
        except OSError as error: say(error.errno)
"""
CHOICES = r"a allow once · A always · d deny · \? why · q deny all  > $"


class Ask(Supervised):
    def on_terminal(self, program, policy=ASKING, options=(), command=None):
        self.policy = self.at / "p.cg"
        self.policy.write_text(policy.replace("DIR", str(self.at)))
        run = [CALLGATE, "run", *options, str(self.policy), "--"]
        command = command or [PYTHON, "-I", "-c", textwrap.dedent(SAYS) + textwrap.dedent(program)]
        terminal = Terminal([*run, *command], str(self.at / "ok"))
        self.addCleanup(self.end, terminal)
        return terminal

    def end(self, terminal):
        try:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
            os.close(terminal.fd)
        except OSError:
            pass  # it has ended

    def said(self):
        return (self.at / "ok" / "said").read_text()

    def ends(self, terminal, status=0):
        self.assertEqual(terminal.wait(), status, terminal.screen)

    def test_question_shows_what_is_wanted_and_once_is_once(self):
        terminal = self.on_terminal("read(); read()")
        terminal.expect(CHOICES)
        self.assertRegex(terminal.screen, r'callgate: python3 \(pid \d+\) wants  openat\(dfd=AT_FDCWD, filename="\.\./no/secret", '
                         r'flags=O_RDONLY\|O_CLOEXEC, mode=0\)\r\n'
                         r'  filename  ' + re.escape(str(self.at.resolve())) + r'/no/secret\r\n'
                         r'  rule      \S*/p.cg:3  path under "[^"]*/no" -> ask\r\n')
        terminal.type("a\r")
        terminal.expect(CHOICES)
        terminal.type("d\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\n1\n")
        self.assertIn("(you said so)", terminal.screen)
        self.assertEqual(self.policy.read_text(), ASKING.replace("DIR", str(self.at)))

    def test_always_shows_the_rule_then_writes_it_and_it_holds(self):
        terminal = self.on_terminal("for i in range(3): read()\nread('../no/other')")
        (self.at / "no" / "other").write_text("other\n")
        before = ASKING.replace("DIR", str(self.at))
        terminal.expect(CHOICES)
        terminal.type("A\r")
        terminal.expect(r"y yes · n back  > $")
        secret = str(self.at.resolve() / "no" / "secret")
        clause = f'filename == "{secret}" && flags == O_RDONLY|O_CLOEXEC; '
        self.assertRegex(terminal.screen, r"  writes    \S*/p.cg:3  openat: path under .*" + re.escape(clause) + "path under")
        self.assertEqual(self.policy.read_text(), before)
        terminal.type("n\r")
        terminal.expect(CHOICES)
        self.assertEqual(self.policy.read_text(), before)
        terminal.type("A\r")
        terminal.expect(r"y yes · n back  > $")
        terminal.type("y\r")
        terminal.expect(r'wants  openat\(dfd=AT_FDCWD, filename="../no/other"')  # not asked about the first any more
        terminal.expect(CHOICES)
        self.assertEqual(self.policy.read_text(), before.replace('path under "' + str(self.at) + '/no"',
                                                                 clause + 'path under "' + str(self.at) + '/no"'))
        terminal.type("d\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\nsecret\nsecret\n1\n")
        self.assertEqual(self.policy.stat().st_mode & 0o777, 0o666 & ~self.umask())
        # The next run reads it.
        again = subprocess.run([CALLGATE, "run", str(self.policy), "--", PYTHON, "-I", "-c", f"print(open({secret!r}).read())"],
                               capture_output=True, text=True, start_new_session=True)
        self.assertEqual((again.returncode, again.stdout, again.stderr), (0, "secret\n\n", ""))

    def umask(self):
        mask = os.umask(0)
        os.umask(mask)
        return mask

    def test_second_always_goes_beside_the_first(self):
        (self.at / "no" / "other").write_text("other\n")
        terminal = self.on_terminal("read(); read('../no/other'); read(); read('../no/other')")
        for _ in range(2):
            terminal.expect(CHOICES)
            terminal.type("A\r")
            terminal.expect(r"n back  > $")
            terminal.type("y\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\nother\nsecret\nother\n")
        check = subprocess.run([CALLGATE, "check", str(self.policy)], capture_output=True, text=True)
        self.assertEqual((check.returncode, check.stdout), (0, ""), check.stderr)
        self.assertEqual(self.policy.read_text().count("filename =="), 2)

    def test_policy_that_changed_meanwhile_is_not_written(self):
        terminal = self.on_terminal("read(); read()")
        terminal.expect(CHOICES)
        terminal.type("A\r")
        terminal.expect(r"n back  > $")
        with open(self.policy, "a") as policy: policy.write("# mine\n")
        changed = self.policy.read_text()
        terminal.type("y\r")
        terminal.expect("not kept  .*/p.cg has changed since it was read")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\nsecret\n")  # it holds for this run
        self.assertEqual(self.policy.read_text(), changed)

    def test_default_that_asks_gets_a_rule_of_its_own(self):
        policy = "default: ask\n@system-service\nmkdir: mode == 0o700 -> errno(EROFS)\n"
        terminal = self.on_terminal("""
            for mode in 0o700, 0o755, 0o755:
                try: os.mkdir("made", mode); say("made"); os.rmdir("made")
                except OSError as error: say(error.errno)""", policy=policy)
        terminal.expect(CHOICES)
        terminal.type("A\r")
        terminal.expect(r"n back  > $")
        terminal.type("y\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "30\nmade\nmade\n")

    def test_interrupt_key_denies_and_the_program_goes_on(self):
        terminal = self.on_terminal("read(); say('on')")
        terminal.expect(CHOICES)
        terminal.type("\x03")
        self.ends(terminal)
        self.assertEqual(self.said(), "1\non\n")

    def test_interrupt_key_in_the_middle_of_an_answer_denies(self):
        terminal = self.on_terminal("read()")
        terminal.expect(CHOICES)
        terminal.type("a\x03")
        self.ends(terminal)
        self.assertEqual(self.said(), "1\n")

    def test_end_of_input_denies(self):
        terminal = self.on_terminal("read()")
        terminal.expect(CHOICES)
        terminal.type("\x04")
        self.ends(terminal)
        self.assertEqual(self.said(), "1\n")

    def test_anything_else_asks_again(self):
        terminal = self.on_terminal("read()")
        for typed in "\r", "x\r", "aa\r", "yes\r", "\x1a\r", "\x1b[A\r", "?\r":
            terminal.expect(CHOICES)
            terminal.type(typed)
        terminal.expect(r"program   /usr/bin/python3.*\n  directory .*/ok\r\n")
        terminal.expect(CHOICES)
        terminal.type("  a \r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\n")

    def test_deny_all_asks_no_more(self):
        terminal = self.on_terminal("for i in range(5): read()")
        terminal.expect(CHOICES)
        terminal.type("q\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "1\n" * 5)

    def test_what_was_typed_before_answers_nothing(self):
        terminal = self.on_terminal("import time; open('ready', 'w').close(); time.sleep(1); read()")
        while not (self.at / "ok" / "ready").exists():
            time.sleep(0.01)
        terminal.type("a\ra\rA\ry\r")
        terminal.expect(CHOICES)
        time.sleep(0.3)
        self.assertFalse((self.at / "ok" / "said").exists())
        terminal.type("d\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "1\n")

    def test_parallel_calls_are_asked_about_one_after_the_other(self):
        terminal = self.on_terminal("""
            import threading
            threads = [threading.Thread(target=read) for _ in range(6)]
            for t in threads: t.start()
            for t in threads: t.join()""")
        terminal.expect(CHOICES)
        time.sleep(0.3)
        terminal.expect(CHOICES)
        self.assertEqual(terminal.screen.count("wants"), 1)
        terminal.type("A\r")
        terminal.expect(r"n back  > $")
        terminal.type("y\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\n" * 6)
        self.assertNotIn("wants", terminal.screen)

    def test_others_go_on_while_a_person_thinks(self):
        terminal = self.on_terminal("""
            import threading, time
            thread = threading.Thread(target=read); thread.start()
            time.sleep(0.3)
            begin = time.monotonic()
            for i in range(200): open("/etc/passwd").close()
            say(time.monotonic() - begin < 2)
            thread.join()""")
        terminal.expect(CHOICES)
        time.sleep(6)  # longer than any deadline
        terminal.type("a\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "True\nsecret\n")

    def test_terminal_is_as_it_was(self):
        terminal = self.on_terminal("""
            import termios
            before = termios.tcgetattr(0); read(); say(termios.tcgetattr(0) == before)""")
        terminal.expect(CHOICES)
        during = termios.tcgetattr(terminal.fd)
        self.assertEqual(during[3] & termios.ISIG, 0)
        terminal.type("a\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\nTrue\n")

    def test_full_screen_program_gets_its_state_back_and_draws_again(self):
        terminal = self.on_terminal("""
            import signal, termios, time, tty
            drawn = []
            signal.signal(signal.SIGWINCH, lambda *_: drawn.append(1))
            tty.setraw(0)
            before = termios.tcgetattr(0); read()
            time.sleep(0.3)
            say(termios.tcgetattr(0) == before, len(drawn))""")
        terminal.expect(CHOICES)
        terminal.type("a\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\nTrue 1\n")

    def test_piped_program_is_asked_about_at_the_terminal(self):
        program = textwrap.dedent(SAYS) + "sys.stdout.write(sys.stdin.read()); read()"
        (self.at / "program.py").write_text(program)
        self.policy = self.at / "p.cg"
        self.policy.write_text(ASKING.replace("DIR", str(self.at)) .replace('path under "', 'path == "%s/program.py" || path under "' % self.at, 1))
        terminal = Terminal(["sh", "-c", f"echo piped | {CALLGATE} run {self.policy} -- {PYTHON} -I ../program.py 2>err | cat > out"],
                            str(self.at / "ok"))
        self.addCleanup(self.end, terminal)
        terminal.expect(CHOICES)
        terminal.type("a\r")
        self.ends(terminal)
        self.assertEqual((self.said(), (self.at / "ok" / "out").read_text()), ("secret\n", "piped\n"))

    def test_without_a_terminal_it_is_denied(self):
        status, out, err = self.run_program("""
            try: open("../no/secret")
            except OSError as error: print(error.errno)""", policy=ASKING, start_new_session=True)
        self.assertEqual((status, out), (0, "1\n"))
        self.assertIn("(there is no terminal to ask at)", err)

    def test_in_the_background_it_is_denied(self):
        program = textwrap.dedent(SAYS) + "read()"
        (self.at / "ok" / "program.py").write_text(program)
        self.policy = self.at / "p.cg"
        self.policy.write_text(ASKING.replace("DIR", str(self.at)))
        shell = Terminal(["bash", "--norc", "-i"], str(self.at / "ok"))
        self.addCleanup(self.end, shell)
        shell.expect("ready> ")
        shell.type(f"{CALLGATE} run {self.policy} -- {PYTHON} -I program.py & wait; echo o''ver\r")
        shell.expect(r"over\r\n")
        self.assertEqual(self.said(), "1\n")
        self.assertIn("not in the foreground of the terminal, so nobody can be asked", shell.screen)

    def test_text_of_the_program_is_escaped(self):
        terminal = self.on_terminal(r"""
            import ctypes
            ctypes.CDLL(None).prctl(15, b"\x1b[2Jevil\x9b", 0, 0, 0)
            read("../no/\x1b]0;x\x07\u202e\nq > a")""")
        terminal.expect(CHOICES)
        self.assertIn(r"callgate: \x1b[2Jevil\x9b (pid", terminal.screen)
        self.assertIn(r'filename="../no/\x1b]0;x\x07\u{202e}\nq > a"', terminal.screen)
        self.assertNotIn("\x1b", terminal.screen)
        terminal.type("A\r")
        terminal.expect("but       the call cannot be told from others")
        terminal.expect(r"n back  > $")
        terminal.type("n\r")
        terminal.expect(CHOICES)
        terminal.type("d\r")
        self.ends(terminal)

    def test_program_cannot_type_its_answer(self):
        terminal = self.on_terminal("""
            import fcntl, termios, threading, time
            def type_it():
                time.sleep(0.5)
                for key in "a\\n":
                    try: fcntl.ioctl(0, termios.TIOCSTI, key.encode()); say("typed")
                    except OSError as error: say(error.errno)
            threading.Thread(target=type_it).start()
            read()""")
        terminal.expect(CHOICES)
        time.sleep(1)
        self.assertEqual(self.said(), "1\n1\n")
        terminal.type("d\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "1\n1\n1\n")

    def test_program_that_is_killed_withdraws_the_question(self):
        terminal = self.on_terminal("""
            import signal
            child = os.fork()
            if child == 0: read(); os._exit(0)
            import time; time.sleep(1)
            os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
            say("killed"); read()""")
        terminal.expect(CHOICES)
        terminal.type("")
        terminal.expect(CHOICES)  # the parent's
        self.assertEqual(self.said(), "killed\n")
        terminal.type("a\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "killed\nsecret\n")

    def test_signal_of_the_program_is_not_held_up(self):
        terminal = self.on_terminal("""
            import signal
            class Rang(Exception): pass
            def ring(*_): raise Rang
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.7)
            try: read()
            except Rang: say("rang")""")
        terminal.expect(CHOICES)
        self.ends(terminal)
        self.assertEqual(self.said(), "rang\n")

    def test_killed_supervisor_denies(self):
        # The kernel may answer ENOSYS, to whatever it calls, a moment before the tracer's death kills it.
        terminal = self.on_terminal("""
            import time
            open("ready", "w").close()
            try: read()
            finally: time.sleep(60)""")
        terminal.expect(CHOICES)
        os.kill(self.supervisor_of(terminal.pid), signal.SIGKILL)
        self.ends(terminal, 128 + signal.SIGKILL)
        self.assertFalse((self.at / "ok" / "said").exists())

    def test_program_that_is_started_is_asked_about_and_always_holds(self):
        policy = ("default: allow\nio_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)\n"
                  "execve: else -> ask\nexecveat: else -> errno(ENOSYS)\n")
        terminal = self.on_terminal("""
            import subprocess
            for word in "one", "one", "two":
                try: say(subprocess.run(["/bin/echo", word], capture_output=True).stdout)
                except OSError as error: say(error.errno)""", policy=policy)
        terminal.expect(CHOICES)
        self.assertRegex(terminal.screen, r"argv\[1\] +one")
        terminal.type("A\r")
        terminal.expect(r"n back  > $")
        terminal.type("y\r")
        terminal.expect(r"argv\[1\] +two")
        terminal.expect(CHOICES)
        terminal.type("d\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "b'one\\n'\nb'one\\n'\n1\n")

    def test_helper_makes_what_a_person_allows(self):
        """Of a program in a user namespace of its own, where a process that has entered it makes the calls."""
        program = textwrap.dedent(SAYS) + "read(); read()\nsay(os.getuid())"
        terminal = self.on_terminal("", command=["unshare", "--user", "--map-root-user", PYTHON, "-I", "-c", program])
        terminal.expect(CHOICES)
        self.assertIn("  filename  " + str(self.at.resolve()) + "/no/secret\r\n", terminal.screen)
        terminal.type("a\r")
        terminal.expect(CHOICES)
        terminal.type("d\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\n1\n0\n")

    def test_two_layers_that_ask_are_one_question(self):
        second = self.at / "second.cg"
        second.write_text(ASKING.replace("DIR", str(self.at)))
        terminal = self.on_terminal("read()", options=[str(second)])
        terminal.expect(CHOICES)
        terminal.type("a\r")
        self.ends(terminal)
        self.assertEqual(self.said(), "secret\n")


if __name__ == "__main__":
    unittest.main()
