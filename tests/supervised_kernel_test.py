#!/usr/bin/env python3
"""What a program meets that loads modules, or programs of the kernel's, under rules about what these are.

usage: supervised_kernel_test.py CALLGATE
"""

import errno
import os
import subprocess
import textwrap
import unittest

from supervised import PYTHON, Supervised


# Maps can be kept under a name in a file system of their own, which a mount namespace of its own hides from the rest.
KEEPING = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t bpf bpf maps && exec "$@"', "sh")


class Loads(Supervised):
    def natively(self, program, prefix=()):
        done = subprocess.run([*prefix, PYTHON, "-I", "-c", textwrap.dedent(program)], cwd=self.at / "ok", capture_output=True,
                              text=True, check=True)
        return done.stdout.splitlines()

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
        native = self.natively(program)
        _, out, err = self.run_program(program, extra="""
init_module: uargs == "debug=0"; else -> errno(EXFULL)
finit_module: fd.path == "DIR/ok/good" && fd.type == file; else -> errno(EXFULL)
""")
        # What is allowed is what the kernel says of it: no module, no right to load one, or no such call.
        refused = f"-1 {errno.EXFULL}"
        self.assertEqual(out.splitlines(), [native[0], refused, refused, native[3], refused], err)

    def test_maps_and_programs_are_refused_by_their_kinds_and_made_from_the_copy(self):
        program = """
            import ctypes, os, re, struct
            libc = ctypes.CDLL(None, use_errno=True)
            def bpf(name, command, attributes):
                attributes = ctypes.create_string_buffer(attributes, 168)
                ctypes.set_errno(0)
                result = libc.syscall(321, command, attributes, 168)
                print(f"{name}:", "descriptor" if result > 2 else result, os.strerror(ctypes.get_errno()), flush=True)
                return result
            def make(name, kind): return bpf(name, 0, struct.pack("5I", kind, 4, 8, 1, 0))
            def at(buffer): return ctypes.addressof(buffer)
            log, license = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(b"GPL")
            def load(name, kind, offset):
                # r1 = the map's value; r0 = *(u64 *)(r1 + offset); exit
                text = b"".join(struct.pack("BBhi", *each) for each in (
                    (0x18, 0x21, 0, array), (0, 0, 0, 0), (0x79, 0x10, offset, 0), (0x95, 0, 0, 0)))
                text = ctypes.create_string_buffer(text, len(text))
                log.value = b""
                bpf(name, 5, struct.pack("IIQQIIQ", kind, 4, at(text), at(license), 1, 4096, at(log)))
                return re.sub("0x[0-9a-f]+", "ADDRESS", log.value.decode())
            array = make("array", 2)
            make("hash", 1)
            print(load("filter", 1, 0))
            print(load("filter that reads beyond the value", 1, 8))
            load("classifier", 3, 0)
            name = ctypes.create_string_buffer(b"maps/../maps/array")
            bpf("pin", 6, struct.pack("QI", at(name), array & 0xffffffff))
            got = bpf("get", 7, struct.pack("Q", at(name)))
            key, value = ctypes.c_uint32(0), ctypes.c_uint64(4711)
            bpf("update", 2, struct.pack("IIQQ", array & 0xffffffff, 0, at(key), at(value)))
            value = ctypes.c_uint64(0)
            bpf("look up", 1, struct.pack("IIQQ", got & 0xffffffff, 0, at(key), at(value)))
            print(value.value)
            bpf("get to read", 7, struct.pack("QII", at(name), 0, 8))"""
        (self.at / "ok" / "maps").mkdir()
        keeping = KEEPING if os.geteuid() == 0 else ()
        native = self.natively(program, keeping)
        _, out, err = self.run_program(program, prefix=keeping, extra="""
bpf: cmd in {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM};
     cmd == BPF_MAP_CREATE && uattr.map_type == BPF_MAP_TYPE_ARRAY;
     cmd == BPF_PROG_LOAD && uattr.prog_type == BPF_PROG_TYPE_SOCKET_FILTER;
     cmd in {BPF_OBJ_PIN, BPF_OBJ_GET} && uattr.file_flags == 0;
     else -> errno(EXFULL)
""")
        if os.geteuid() == 0:
            self.assertIn("4711", native)
        denied = ("hash:", "classifier:", "get to read:")
        self.assertEqual(out.splitlines(), [
            line.split(":")[0] + f": -1 {os.strerror(errno.EXFULL)}" if line.startswith(denied) else line for line in native], err)


if __name__ == "__main__":
    unittest.main()
