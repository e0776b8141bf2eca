#!/usr/bin/env python3
"""Daemons of Debian that put filters on themselves, as `show` reads them from the kernel: each is a policy that compiles to an equal
filter, which is not longer. Needs root.

usage: daemons_test.py CALLGATE
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

CALLGATE = os.path.abspath(sys.argv.pop(1))
PATIENCE = 30  # seconds


def callgate(*arguments):
    done = subprocess.run([CALLGATE, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


def instructions_of(text):
    """As the first line of `show` tells them."""
    return int(re.match(r"# process \d+: \d+ filters?, (\d+) instructions\n", text).group(1))


def family(pid):
    yield pid
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def is_filtered(pid):
    return re.search(r"^Seccomp:\t2$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)


class Daemons(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = pathlib.Path(folder.name)

    def start(self, *command):
        """In a /run of its own, where daemons leave what must not stay behind."""
        script = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$@"'
        with open(self.at / "log", "wb") as log:
            daemon = subprocess.Popen(["unshare", "--mount", "sh", "-c", script, "sh", *command], stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        return daemon

    def wait_for(self, what, daemon):
        for _ in range(PATIENCE * 50):
            if daemon.poll() is None and (found := what()):
                return found
            time.sleep(0.02)
        self.fail(f"{daemon.args[6]} has no filter: " + (self.at / "log").read_text())

    def check(self, daemon):
        def filtered():
            try:
                return [pid for pid in family(daemon.pid) if is_filtered(pid)]
            except FileNotFoundError:
                return []

        pid = self.wait_for(filtered, daemon)[0]
        status, shown, err = callgate("show", str(pid))
        self.assertEqual((status, err), (0, ""), shown)
        (self.at / "shown.cg").write_text(shown)
        again = str(self.at / "again.bpf")
        self.assertEqual(callgate("compile", "-f", "raw", "-o", again, str(self.at / "shown.cg"))[0], 0)
        self.assertEqual(callgate("prove", f"pid:{pid}", "--equal", again), (0, f"process {pid} is equal to {again}: proved\n", ""),
                         f"it has ended with {daemon.poll()} and said: " + (self.at / "log").read_text())
        before, after = instructions_of(shown), os.stat(again).st_size // 8
        self.assertLessEqual(after, before)
        print(f"{daemon.args[6]}: {before} instructions become {after}")

    def test_chronyd(self):
        (self.at / "chrony.conf").write_text(f"driftfile {self.at}/drift\npidfile {self.at}/pid\ncmdport 0\nport 0\n")
        self.check(self.start("/usr/sbin/chronyd", "-F", "1", "-x", "-d", "-U", "-u", "root", "-f", str(self.at / "chrony.conf")))

    def test_tor(self):
        (self.at / "data").mkdir(mode=0o700)
        (self.at / "torrc").touch()
        self.check(self.start("/usr/sbin/tor", "--Sandbox", "1", "--DisableNetwork", "1", "--SocksPort", "0", "--DataDirectory",
                              str(self.at / "data"), "-f", str(self.at / "torrc"), "--defaults-torrc", str(self.at / "torrc")))

    def test_sshd_s_child_before_a_user_is_known(self):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.at / "key")], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        daemon = self.start("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(self.at / "key"),
                            "-o", "ListenAddress=127.0.0.1", "-o", f"PidFile={self.at}/pid", "-o", "UsePAM=no")

        def connection():
            try:
                return socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                return None

        with self.wait_for(connection, daemon) as client:
            client.sendall(b"SSH-2.0-test\r\n")
            self.check(daemon)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
