#!/usr/bin/env python3
"""Sends and connections that are looked at and made by the supervisor: by address, by descriptor, waiting, interrupted. Each case
runs a Python program in a fresh directory under `callgate run`, as root and as another user, and looks at what it prints.

usage: supervised_sockets_test.py CALLGATE
"""

import os
import pathlib
import subprocess
import tempfile
import textwrap
import time
import unittest

from supervised import CALLGATE, PYTHON, is_over

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
USERS = [[], NOBODY] if os.getuid() == 0 else [[]]
POLICY = "default: allow\nio_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)\n"
ALL = POLICY + """sendto, sendmsg, sendmmsg, accept, accept4: fd.type == socket; else -> errno(EXFULL)
"""
PROLOGUE = """
import array, ctypes, os, signal, socket, struct, sys, threading, time
AF, DG, ST = socket.AF_UNIX, socket.SOCK_DGRAM, socket.SOCK_STREAM
def error(call, *arguments):
    try: return call(*arguments)
    except OSError as failed: return failed.strerror
"""


class Sockets(unittest.TestCase):
    def run_program(self, policy, program, users=USERS, inner=(), status=0):
        """Yields (output, errors) for each user who runs callgate; `inner`: put before the program."""
        for user in users:
            with self.subTest(user=user[:1] or "this"), tempfile.TemporaryDirectory() as folder:
                at = pathlib.Path(os.path.realpath(folder))
                at.chmod(0o777)
                (at / "p.cg").write_text(policy.replace("DIR", str(at)))
                done = subprocess.run(
                    [*user, CALLGATE, "run", str(at / "p.cg"), "--", *inner, PYTHON, "-I", "-c", PROLOGUE + textwrap.dedent(program)],
                    cwd=at, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, status, done.stderr)
                yield done.stdout, done.stderr

    def check(self, policy, program, expected, **more):
        for out, err in self.run_program(policy, program, **more):
            self.assertEqual(out, expected, err)

    def test_messages_go_where_they_may(self):
        policy = POLICY + """sendto: addr == 0; addr.abstract == "DIR/a"; else -> errno(EACCES)
sendmsg: msg.msg_name == 0; msg.addr.abstract == "DIR/a"; else -> errno(EACCES)
"""
        self.check(policy, """
            good, bad = socket.socket(AF, DG), socket.socket(AF, DG)
            a, b = "\\0" + os.getcwd() + "/a", "\\0" + os.getcwd() + "/b"
            good.bind(a); bad.bind(b)
            out = socket.socket(AF, DG)
            print(error(out.sendto, b"1", a), error(out.sendto, b"1", b))
            print(error(out.sendmsg, [b"2", b"3"], [], 0, a), error(out.sendmsg, [b"2"], [], 0, b))
            out.connect(b)
            print(error(out.send, b"4"), error(out.sendmsg, [b"5"]))
            print([good.recv(9), good.recv(9)], [bad.recv(9), bad.recv(9)])""",
            "1 Permission denied\n2 Permission denied\n1 1\n[b'1', b'23'] [b'4', b'5']\n")

    def test_one_message_that_may_not_be_sent_keeps_all_back(self):
        policy = POLICY + 'sendmmsg: mmsg.addr.abstract == "DIR/a"; else -> errno(EACCES)\n'
        self.check(policy, """
            def many(fd, names):
                keep, text = [], b""
                for name in names:
                    address = struct.pack("=H", AF) + name
                    where, data = ctypes.create_string_buffer(address, len(address)), ctypes.create_string_buffer(b"x")
                    iov = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), 1), 16)
                    keep += [where, data, iov]
                    text += struct.pack("=QIxxxxQQQQIxxxxIxxxx", ctypes.addressof(where), len(address), ctypes.addressof(iov), 1, 0, 0, 0, 0)
                array = ctypes.create_string_buffer(text, len(text))
                result = ctypes.CDLL(None, use_errno=True).sendmmsg(fd, array, len(names), 0)
                return result if result >= 0 else os.strerror(ctypes.get_errno())
            good, bad = socket.socket(AF, DG), socket.socket(AF, DG)
            a, b = b"\\0" + os.getcwdb() + b"/a", b"\\0" + os.getcwdb() + b"/b"
            good.bind(a); bad.bind(b); good.setblocking(False); bad.setblocking(False)
            out = socket.socket(AF, DG)
            print(many(out.fileno(), [a, a, a]), many(out.fileno(), [a, a, b, a]))
            print([good.recv(9) for i in range(3)], error(good.recv, 9), error(bad.recv, 9))""",
            "3 Permission denied\n[b'x', b'x', b'x'] Resource temporarily unavailable Resource temporarily unavailable\n")

    def test_address_without_a_family_is_no_way_round_a_port(self):
        """The kernel takes AF_UNSPEC for AF_INET in a datagram and in bind."""
        policy = POLICY + """sendto: addr.port == 5353 -> errno(EACCES); fd.type == socket; else -> errno(EACCES)
bind: addr.port == 5353 -> errno(EACCES); fd.type == socket; else -> errno(EACCES)
"""
        self.check(policy, """
            libc = ctypes.CDLL(None, use_errno=True)
            out = socket.socket(socket.AF_INET, DG)
            def tried(call, *arguments): return os.strerror(ctypes.get_errno()) if call(*arguments) < 0 else "done"
            for family in socket.AF_INET, socket.AF_UNSPEC:
                address = ctypes.create_string_buffer(struct.pack("=H", family) + struct.pack("!H", 5353) + bytes(12), 16)
                print(tried(libc.sendto, out.fileno(), b"x", 1, 0, address, 16), tried(libc.bind, out.fileno(), address, 16))""",
            "Permission denied Permission denied\nAddress family not supported by protocol Address family not supported by protocol\n")

    def test_address_that_names_a_file_is_the_file(self):
        policy = POLICY + """sendto: addr == 0; addr.path == "DIR/good"; else -> errno(EACCES)
"""
        self.check(policy, """
            good, bad = socket.socket(AF, DG), socket.socket(AF, DG)
            good.bind("good"); bad.bind("bad")
            os.symlink("good", "to-good"); os.symlink("bad", "to-bad")
            out = socket.socket(AF, DG)
            for name in "good", "bad", "to-good", "to-bad", "./../" + os.path.basename(os.getcwd()) + "/good", "none":
                print(error(out.sendto, b"x", name))""",
            "1\nPermission denied\n1\nPermission denied\n1\nPermission denied\n")

    def test_long_send_waits_for_its_reader_and_other_threads_go_on(self):
        self.check(ALL, """
            out, into = socket.socketpair()
            got = []
            def read():
                time.sleep(0.2)
                while len(got) < 1 or sum(map(len, got)) < 3_000_000: got.append(into.recv(100_000))
            thread = threading.Thread(target=read); thread.start()
            side, other = socket.socketpair()
            def talk():
                for i in range(50): side.sendmsg([b"x"])
            talker = threading.Thread(target=talk); talker.start(); 
            data = bytes(range(250)) * 12_000
            sent = out.sendmsg([data[:1_000_000], data[1_000_000:]])
            talker.join(); thread.join()
            print(sent, b"".join(got) == data, len(other.recv(99)))""",
            "3000000 True 50\n")

    def test_every_message_of_a_call_may_wait(self):
        self.check(ALL, """
            libc = ctypes.CDLL(None, use_errno=True)
            out, into = socket.socketpair(AF, DG)
            data = ctypes.create_string_buffer(100_000)
            iov = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), len(data)), 16)
            one = struct.pack("=QQQQQQQQ", 0, 0, ctypes.addressof(iov), 1, 0, 0, 0, 0)
            def read():
                for i in range(8): time.sleep(0.02); into.recv(200_000)
            thread = threading.Thread(target=read); thread.start()
            print(libc.sendmmsg(out.fileno(), ctypes.create_string_buffer(one * 8, 512), 8, 0)); thread.join()""",
            "8\n")

    def test_waiting_send_that_is_interrupted_says_what_went(self):
        self.check(ALL, """
            libc = ctypes.CDLL(None, use_errno=True)
            signal.signal(signal.SIGALRM, lambda *_: None)
            out, into = socket.socketpair()
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            data = ctypes.create_string_buffer(3_000_000)
            iov = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), len(data)), 16)
            head = ctypes.create_string_buffer(struct.pack("=QQQQQQQ", 0, 0, ctypes.addressof(iov), 1, 0, 0, 0), 56)
            sent = libc.sendmsg(out.fileno(), head, 0)
            print(0 < sent < 3_000_000)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            print(libc.sendmsg(out.fileno(), head, 0), ctypes.get_errno() == 4)""",
            "True\n-1 True\n")

    def test_timeout_of_the_socket_is_kept(self):
        self.check(ALL, """
            out, into = socket.socketpair()
            out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("=qq", 0, 200_000))
            server = socket.socket(AF, ST); server.bind("s"); server.listen()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 200_000))
            start = time.monotonic()
            while not isinstance(error(out.sendmsg, [b"x" * 10_000]), str): pass
            print(error(server.accept), 0.3 < time.monotonic() - start < 5)""",
            "Resource temporarily unavailable True\n")

    def test_broken_pipe_is_the_callers(self):
        self.check(ALL, """
            out, into = socket.socketpair()
            into.close()
            print(error(out.sendmsg, [b"x"]), flush=True)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            print(error(out.sendmsg, [b"x"], [], socket.MSG_NOSIGNAL), flush=True)
            out.sendmsg([b"x"])
            print("lives")""",
            "Broken pipe\nBroken pipe\n", status=-13)

    def test_descriptors_go_along(self):
        self.check(ALL, """
            out, into = socket.socketpair()
            read, write = os.pipe()
            out.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write]))])
            data, control, _, _ = into.recvmsg(9, 999)
            os.write(struct.unpack("i", control[0][2])[0], b"through")
            print(os.read(read, 99), len(os.listdir("/proc/self/fd")) < 12)""",
            "b'through' True\n")

    def test_receiver_learns_who_sends(self):
        """Also where root supervises a program of another user: it must not look like root."""
        program = """
            out, into = socket.socketpair()
            into.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            out.sendmsg([b"x"])
            pid, uid, gid = struct.unpack("iII", into.recvmsg(9, 999)[1][0][2])
            print(uid == os.getuid(), gid == os.getgid(), pid == os.getpid())"""
        self.check(ALL, program, "True True True\n", users=[[]] if os.getuid() == 0 else [])
        self.check(ALL, program, "True True False\n", users=USERS[1:] or USERS)
        if os.getuid() == 0:
            self.check(ALL, program, "True True True\n", users=[[]], inner=NOBODY)

    def test_accept_waits_for_a_client(self):
        self.check(ALL, """
            server = socket.socket(socket.AF_INET, ST); server.bind(("127.0.0.1", 0)); server.listen()
            def call():
                time.sleep(0.2)
                client = socket.create_connection(server.getsockname())
                print(client.recv(9), client.getsockname() == peer)
            thread = threading.Thread(target=call); thread.start()
            side, other = socket.socketpair()
            for i in range(50): side.sendmsg([b"x"])
            connection, peer = server.accept()
            print(connection.getpeername() == peer, os.get_inheritable(connection.fileno()), flush=True)
            connection.sendmsg([b"hello"]); thread.join()""",
            "True False\nb'hello' True\n")

    def test_waiting_accept_returns_to_a_handler(self):
        self.check(ALL, """
            class Rang(Exception): pass
            def ring(*_): raise Rang
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            server = socket.socket(AF, ST); server.bind("s"); server.listen()
            try: server.accept()
            except Rang: print("interrupted")""",
            "interrupted\n")

    def test_many_signals_lose_no_connection(self):
        """A signal that meets the supervisor while it hands a connection over must not make the call return 0 without one."""
        self.check(ALL, """
            signal.signal(signal.SIGALRM, lambda *_: None)
            server = socket.socket(AF, ST); server.bind("s"); server.listen(400)
            def call():
                for i in range(300):
                    time.sleep(i % 3 / 1000)
                    client = socket.socket(AF, ST)
                    client.connect("s"); client.send(b"x"); client.close()
            thread = threading.Thread(target=call); thread.start()
            signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
            print(all(server.accept()[0].recv(2) == b"x" for i in range(300)))
            signal.setitimer(signal.ITIMER_REAL, 0); thread.join()""",
            "True\n")

    def test_killed_while_waiting_leaves_nothing_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            at = pathlib.Path(folder)
            (at / "p.cg").write_text(ALL)
            program = PROLOGUE + textwrap.dedent("""
                out, into = socket.socketpair()
                print(os.getpid(), os.getppid(), flush=True)
                out.sendmsg([b"x" * 3_000_000])""")
            started = subprocess.Popen([CALLGATE, "run", str(at / "p.cg"), "--", PYTHON, "-I", "-c", program],
                                       stdout=subprocess.PIPE, text=True)
            started.stdout.readline()
            supervisor = int(next(line for line in pathlib.Path(f"/proc/{started.pid}/status").read_text().splitlines()
                                  if line.startswith("TracerPid"))[10:])
            time.sleep(0.2)
            started.kill()
            started.communicate(timeout=30)
            for _ in range(500):
                if is_over(supervisor):
                    return
                time.sleep(0.01)
            self.fail("the supervisor stays")


if __name__ == "__main__":
    unittest.main()
