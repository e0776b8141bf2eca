#!/usr/bin/env python3
"""What a program meets that loads modules, or programs of the kernel's, under rules about what these are.

usage: supervised_kernel_test.py CALLGATE
"""

import errno
import subprocess
import textwrap
import unittest

from supervised import PYTHON, Supervised


class Loads(Supervised):
    def test_module_is_refused_by_its_parameters_and_its_file(self):
        program = """
            import ctypes, os
            libc = ctypes.CDLL(None, use_errno=True)
            def told(*args):
                ctypes.set_errno(0)
                print(libc.syscall(*args), ctypes.get_errno(), flush=True)
            image = b"no module" * 100
            with open("good", "wb") as file: file.write(image)
            good, other = os.open("good", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)
            for parameters in b"debug=0", b"debug=1", None:
                told(175, image, len(image), parameters)
            for fd in good, other:
                told(313, fd, b"", 0)"""
        native = subprocess.run([PYTHON, "-I", "-c", textwrap.dedent(program)], cwd=self.at / "ok", capture_output=True, text=True,
                                check=True).stdout.splitlines()
        _, out, err = self.run_program(program, extra="""
init_module: uargs == "debug=0"; else -> errno(EXFULL)
finit_module: fd.path == "DIR/ok/good" && fd.type == file; else -> errno(EXFULL)
""")
        # What is allowed is what the kernel says of it: no module, no right to load one, or no such call.
        refused = f"-1 {errno.EXFULL}"
        self.assertEqual(out.splitlines(), [native[0], refused, refused, native[3], refused], err)


if __name__ == "__main__":
    unittest.main()
