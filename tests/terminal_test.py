#!/usr/bin/env python3
"""Programs under `callgate run` in a terminal behave as if they ran directly: job control, signals, window size, exit status.

Every case runs under two policies: one whose denials are errors (the supervisor only answers notifications) and one whose
denials kill (the supervisor also traces, so every stop and signal passes through it).

usage: terminal_test.py CALLGATE
"""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time

POLICIES = {
    "errno": "default: errno(EPERM)\n@system-service\n",
    "kill": "default: kill\n@system-service\n",
}


class Terminal:
    """A program on a new terminal of 80 x 24."""

    def __init__(self, command, folder, run=()):
        self.screen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.fd = 0
            self.resize(24, 80)  # before the program looks
            os.chdir(folder)
            env = {"PATH": os.environ["PATH"], "TERM": "xterm", "PS1": "ready> ", "LC_ALL": "C", "HOME": folder,
                   "RUN": " ".join(run)}
            os.execvpe(command[0], command, env)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        self.screen = ""
        os.write(self.fd, text.encode())

    def start(self, line):
        """Types a command to a shell and waits until its job has the terminal: a key typed before is the shell's."""
        shell = os.tcgetpgrp(self.fd)
        self.type(line)
        deadline = time.monotonic() + 10
        while os.tcgetpgrp(self.fd) == shell:
            assert time.monotonic() < deadline, f"{line!r} never got the terminal"
            time.sleep(0.01)

    def expect(self, pattern, seconds=10):
        """Waits until the screen since the last `type` matches."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.screen):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} within {seconds} s; the screen shows {self.screen!r}")
            try:
                self.screen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                raise AssertionError(f"the terminal closed before {pattern!r}; it shows {self.screen!r}")

    def wait(self, seconds=10):
        """The exit status as a shell would say it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    self.screen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"still running after {seconds} s; the screen shows {self.screen!r}")


def shell_inside_has_job_control(run, folder):
    shell = Terminal([*run, "bash", "--norc", "-i"], folder)
    shell.expect("ready> ")
    shell.start("sleep 100\r")
    time.sleep(0.3)
    shell.type("\x1a")
    shell.expect(r"Stopped.*\n.*ready> ")
    shell.type("jobs\r")
    shell.expect(r"Stopped +sleep 100")
    shell.start("fg\r")
    shell.expect("sleep 100")
    time.sleep(0.3)
    shell.type("\x03")
    shell.expect("ready> ")
    shell.type("echo status=$?\r")
    shell.expect("status=130")
    shell.type("sleep 0.2 & wait $!; echo waited=$?\r")
    shell.expect("waited=0")
    shell.type("exit 7\r")
    assert shell.wait() == 7, "exit status"


def outer_shell_stops_and_resumes_the_program(run, folder):
    shell = Terminal(["bash", "--norc", "-i"], folder, run)
    shell.expect("ready> ")
    shell.start("$RUN sleep 100\r")
    shell.expect("sleep 100")
    time.sleep(0.5)
    shell.type("\x1a")
    shell.expect(r"Stopped")
    shell.start("fg\r")
    shell.expect("sleep 100")
    time.sleep(0.3)
    shell.type("\x03")
    shell.expect("ready> ")
    shell.type("echo status=$?\r")
    shell.expect("status=130")
    shell.type("$RUN sh -c 'kill -TERM $$'\r")
    shell.expect("Terminated.*\n.*ready> |ready> ")
    shell.type("echo status=$?\r")
    shell.expect("status=143")
    shell.type("exit\r")
    shell.wait()


def background_job_keeps_its_place(run, folder):
    shell = Terminal(["bash", "--norc", "-i"], folder, run)
    shell.expect("ready> ")
    shell.type("$RUN cat &\r")  # reads the terminal from the background: stopped by SIGTTIN
    shell.expect("ready> ")
    shell.type("until jobs -s | grep -q cat; do sleep 0.1; done\r")
    shell.expect(r"Stopped.*\n.*ready> ")
    shell.start("fg\r")
    shell.expect("cat")
    time.sleep(0.3)
    shell.type("hello\r")
    shell.expect("hello\r\nhello")
    shell.type("\x04")
    shell.expect("ready> ")
    shell.type("exit\r")
    shell.wait()


def window_size_is_seen(run, folder):
    script = "trap 'stty size; exit 3' WINCH; stty size; while :; do sleep 0.05; done"
    program = Terminal([*run, "bash", "-c", script], folder)
    program.expect("24 80")
    program.resize(30, 100)
    program.expect("30 100")
    assert program.wait() == 3, "exit status"


def editor_edits(run, folder):
    editor = Terminal([*run, "vi", "note"], folder)
    editor.expect("note")
    editor.type("iwritten in vi\x1b:wq\r")
    assert editor.wait() == 0, "exit status"
    assert (pathlib.Path(folder) / "note").read_text() == "written in vi\n"


def interrupt_kills_like_a_signal(run, folder):
    program = Terminal([*run, "sh", "-c", "echo started; exec sleep 100"], folder)
    program.expect("started")
    time.sleep(0.2)
    program.type("\x03")
    assert program.wait() == 128 + signal.SIGINT, "exit status"


CASES = [shell_inside_has_job_control, outer_shell_stops_and_resumes_the_program, background_job_keeps_its_place,
         window_size_is_seen, editor_edits, interrupt_kills_like_a_signal]


def main():
    callgate = os.path.abspath(sys.argv[1])
    passed = failed = 0
    for kind, text in POLICIES.items():
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                policy = os.path.join(folder, "policy.cg")
                pathlib.Path(policy).write_text(text)
                try:
                    case([callgate, "run", policy, "--"], folder)
                    passed += 1
                    print(f"ok   {case.__name__} ({kind})", flush=True)
                except AssertionError as problem:
                    failed += 1
                    print(f"FAIL {case.__name__} ({kind}): {problem}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
