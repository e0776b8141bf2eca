#!/usr/bin/env python3
"""Many calls, many at once, many programs: nothing is left behind, nobody is forgotten, none is let through.

CALLGATE_SUPERVISOR_CALLS sets the number of calls in the test that looks for leaks, CALLGATE_SUPERVISOR_PENDING how many
wait at the same time in the one that lets them pile up.

usage: supervisor_endurance_test.py CALLGATE PILE_UP
"""

import os
import pathlib
import re
import shutil
import signal
import sys
import time
import unittest

from supervised import Supervised, ends_within, stop

PILE_UP = os.path.abspath(sys.argv.pop(1))
CALLS = int(os.environ.get("CALLGATE_SUPERVISOR_CALLS", "6000"))
PENDING = int(os.environ.get("CALLGATE_SUPERVISOR_PENDING", "1000"))


def memory_of(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


class Endurance(Supervised):
    def test_calls_that_pile_up_are_all_answered_and_none_wrongly(self):
        program = shutil.copy(PILE_UP, self.at / "ok")  # which no policy of this test keeps anybody from
        started = self.start_command([program, str(PENDING), "/etc/passwd", "../no/secret"])
        def wait_for(file):
            while not (self.at / "ok" / file).exists():
                self.assertIsNone(started.poll())
                time.sleep(0.01)
        wait_for("ready")
        supervisor = self.supervisor_of(started.pid)
        stop(supervisor)
        (self.at / "ok" / "go").touch()
        wait_for("piled")
        begin = time.monotonic()
        os.kill(supervisor, signal.SIGCONT)
        out, _ = self.finish(started, timeout=30 + PENDING / 100)
        self.assertEqual(out, f"opened 0, refused 0, else 0\nopened {PENDING // 2}, refused {PENDING // 2}, else 0\n")
        self.assertLess(time.monotonic() - begin, 5 + PENDING / 500)

    def test_programs_are_served_alike(self):
        """64 of them call as fast as they can; the one that is served least is not far behind."""
        _, out, _ = self.run_program("""
            import os, time
            pipes = []
            begin = time.monotonic() + 0.5
            for i in range(64):
                ours, theirs = os.pipe()
                if os.fork() == 0:
                    while time.monotonic() < begin: time.sleep(0.001)
                    count = 0
                    while time.monotonic() < begin + 2:
                        os.close(os.open("/etc/passwd", os.O_RDONLY)); count += 1
                    os.write(theirs, str(count).encode()); os._exit(0)
                os.close(theirs); pipes.append(ours)
            counts = sorted(int(os.read(fd, 20)) for fd in pipes)
            print(len(counts), counts[0] > 0, counts[-1] / max(counts[0], 1))""")
        programs, served, ratio = out.split()
        self.assertEqual((programs, served), ("64", "True"))
        self.assertLess(float(ratio), 4)

    def test_calls_leave_neither_descriptors_nor_memory_behind(self):
        started = self.start(f"""
            import os, time
            def calls(count):
                for i in range(count):
                    os.close(os.open("/etc/passwd", os.O_RDONLY))
                    try: os.open("../no/secret", os.O_RDONLY)
                    except OSError: pass
            os.mkfifo("first"); os.mkfifo("second")
            calls(500)
            open("ready", "w"); open("first").read()
            calls(500)
            open("warm", "w"); open("second").read()  # what a first wait needs once is there now
            calls({CALLS // 2})
            open("again", "w"); time.sleep(60)""",
            # AddressSanitizer keeps what is freed for a while, which looks like growth.
            env=dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=0:thread_local_quarantine_size_kb=0"))
        supervisor = self.supervisor_of(started.pid)
        def write_when(file, fifo):
            while not (self.at / "ok" / file).exists():
                self.assertIsNone(started.poll())
                time.sleep(0.01)
            memory = memory_of(supervisor)
            if fifo: (self.at / "ok" / fifo).write_text("go")
            return memory
        write_when("ready", "first")
        before = write_when("warm", "second")
        after = write_when("again", None)
        self.assertLess(len(os.listdir(f"/proc/{supervisor}/fd")), 16)
        # KiB. An allocator grows by some hundred, once for a thread; 400 bytes of each call would be more.
        self.assertLess(after - before, 2048)
        started.kill()
        self.finish(started)


if __name__ == "__main__":
    with ends_within(200 + CALLS / 500 + PENDING / 10):
        unittest.main()
