#!/usr/bin/env python3
"""What no honest tool writes: filters made to be hard, files cut short, trees made to explode. Every verb answers each in a moment, with
a whole message and no guess.

usage: bad_input_test.py CALLGATE
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

CALLGATE = os.path.abspath(sys.argv.pop(1))
MAX_INSTRUCTIONS = 4096
PATIENCE = 300  # seconds; some are usual, a minute under the thread sanitizer: this is about hangs
LD, LD_M, ST, TAX, JA, JEQ, JGE, JSET, RET, RET_A = 0x20, 0x60, 0x02, 0x07, 0x05, 0x15, 0x35, 0x45, 0x06, 0x16
ADD_X, SUB_X, MUL_X, XOR_X, OR_X, LSH_X, JEQ_X, JGT_X, JGE_X, JSET_X = 0x0c, 0x1c, 0x2c, 0xac, 0x4c, 0x6c, 0x1d, 0x2d, 0x3d, 0x4d
Z3 = "  '--z3 SECONDS' asks another prover\n"
ALLOW, KILL, ERRNO = 0x7fff0000, 0x80000000, 0x50000
WORDS = [16 + 4 * i for i in range(12)]  # of the six arguments


def hex_text(program):
    assert 0 < len(program) <= MAX_INSTRUCTIONS
    return "".join("%x %x %x %x\n" % instruction for instruction in program)


def arithmetic(chance, end):
    """One sum, product and shift of all words."""
    program = []
    while len(program) < 4080:
        program += [(TAX, 0, 0, 0), (LD, 0, 0, WORDS[len(program) // 3 % 12]),
                    (chance.choice([ADD_X, SUB_X, MUL_X, XOR_X, OR_X, LSH_X]), 0, 0, 0)]
    return program + end


def memory(chance):
    """Tests of single bits decide which cell of the memory is where."""
    program = [(LD, 0, 0, 16)] + [(ST, 0, 0, i) for i in range(16)]
    while len(program) < 4080:
        program += [(LD, 0, 0, WORDS[len(program) // 4 % 12]), (JSET, 0, 1, 1 << chance.randrange(32)), (ST, 0, 0, chance.randrange(16)),
                    (LD_M, 0, 0, chance.randrange(16))]
    return program + [(LD_M, 0, 0, 3), (JEQ, 0, 1, 5), (RET, 0, 0, ALLOW), (RET, 0, 0, 0)]


def two_words(chance):
    """Comparisons of arguments with each other."""
    program = []
    while len(program) < 4080:
        a, b = chance.sample(WORDS, 2)
        program += [(LD, 0, 0, a), (TAX, 0, 0, 0), (LD, 0, 0, b),
                    (chance.choice([JEQ_X, JGT_X, JGE_X, JSET_X]), chance.randrange(2), chance.randrange(2), 0)]
    return program + [(LD, 0, 0, 0), (JEQ, 0, 1, 1), (RET, 0, 0, ALLOW), (RET, 0, 0, KILL)]


def pairs(chance):
    """Hundreds of pairs of halves, each with one of nine errnos."""
    program = [(LD, 0, 0, 4), (JEQ, 1, 0, 0xc000003e), (RET, 0, 0, 0)]
    for _ in range(680):
        program += [(LD, 0, 0, 16), (JEQ, 0, 3, chance.randrange(1 << 32)), (LD, 0, 0, 20), (JEQ, 0, 1, chance.randrange(1 << 32)),
                    (RET, 0, 0, ERRNO | chance.randrange(9)), (JA, 0, 0, 0)]
    return program + [(RET, 0, 0, ALLOW)]


def bits(chance):
    """Bits of all words, each with two ways that cross the others'."""
    program = []
    while len(program) < 4090:
        program += [(LD, 0, 0, WORDS[len(program) // 2 % 12]), (JSET, chance.randrange(3), chance.randrange(3), 1 << chance.randrange(32))]
    return program[:4089] + [(JEQ, 1, 0, 7)] + [(RET, 0, 0, ALLOW)] * 3 + [(RET, 0, 0, 0)] * 3


def ladder(chance):
    """Thousands of different values of all words."""
    program = []
    while len(program) < 4090:
        program += [(LD, 0, 0, chance.choice(WORDS)), (chance.choice([JEQ, JGE]), 0, chance.randrange(2), chance.randrange(1 << 32))]
    return program + [(RET, 0, 0, ALLOW)] * 2 + [(RET, 0, 0, ERRNO | i) for i in range(4)]


FILTERS = {
    "hash": arithmetic(random.Random(1), [(RET_A, 0, 0, 0)]),
    "hash_test": arithmetic(random.Random(1), [(JEQ, 0, 1, 7), (RET, 0, 0, ALLOW), (RET, 0, 0, 0)]),
    "memory": memory(random.Random(3)),
    "two_words": two_words(random.Random(4)),
    "pairs": pairs(random.Random(5)),
    "bits": bits(random.Random(6)),
    "ladder": ladder(random.Random(7)),
    "numbers": [(LD, 0, 0, 0)] + [x for i in range(2040) for x in ((JEQ, 0, 1, i), (RET, 0, 0, ERRNO | i * 7 % 4096))] + [(RET, 0, 0, ALLOW)],
    "unreachable": [(LD, 0, 0, 4), (RET, 0, 0, ALLOW)] + [(LD, 0, 0, 16), (ADD_X, 0, 0, 0)] * 2046 + [(RET_A, 0, 0, 0)],
    "jumps": [(JA, 0, 0, 0)] * 4095 + [(RET, 0, 0, ALLOW)],
}
VERBS = (("lint",), ("prove", "--never", "mount"), ("prove", "--always", "read", "--never", "i386.read"), ("decompile",), ("report", "-o", "page"),
         ("diff", "one.hex"), ("prove", "--live", "--subset-of", "one.hex"), ("disasm",))


class BadInput(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = pathlib.Path(folder.name)

    def ask(self, *arguments, text=True):
        begin = time.monotonic()
        done = subprocess.run([CALLGATE, *arguments], cwd=self.at, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False,
                              env=dict(os.environ, NO_COLOR="1"))
        self.took = time.monotonic() - begin
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def put(self, name, content):
        (self.at / name).write_bytes(content if isinstance(content, bytes) else content.encode())


class HardFilters(BadInput):
    def setUp(self):
        super().setUp()
        for name, program in FILTERS.items():
            self.put(name + ".hex", hex_text(program))
        self.put("one.hex", hex_text([(RET, 0, 0, ALLOW)]))

    def test_every_verb_answers_every_filter_in_a_moment(self):
        slowest = 0, ""
        for name in FILTERS:
            for verb in VERBS:
                if name == "pairs" and verb[0] == "report":
                    continue  # lint and decompile in one, and seconds of each
                with self.subTest(filter=name, verb=verb):
                    status, _, err = self.ask(verb[0], name + ".hex", *verb[1:])
                    self.assertIn(status, (0, 1, 2, 3))
                    self.assertEqual(err != "", status == 2, err)
                    slowest = max(slowest, (self.took, f"{verb[0]} {name}"))
        print(f"slowest: {slowest[1]}, {slowest[0]:.2f} s")

    def test_what_no_test_of_one_word_says_is_undecided_with_the_instruction(self):
        why = {"hash": "instruction 8, 'add x': its result is too complex a function of the call",
               "hash_test": "instruction 8, 'add x': too complex a function of the call",
               "memory": "instruction 0, 'ld [16]': the program has too many ways through it"}
        for name, reason in why.items():
            with self.subTest(name):
                self.assertEqual(self.ask("prove", name + ".hex", "--never", "mount"),
                                 (3, f"undecided whether {name}.hex never allows mount(*, *, *, *, *): {reason}\n{Z3}", ""))
                self.assertEqual(self.ask("diff", name + ".hex", "one.hex"),
                                 (3, f"undecided whether one.hex is a subset of {name}.hex: {reason}\n{Z3}", ""))
                self.assertEqual(self.ask("decompile", name + ".hex"),
                                 (2, "", f"callgate decompile: {name}.hex: cannot say this filter as a policy: {reason}\n"))
                status, out, err = self.ask("lint", name + ".hex")
                self.assertEqual((status, err), (0, ""))
                self.assertTrue(out.startswith(f"{name}.hex: instruction {reason.split(',')[0][12:]}: info: {reason} [CG0106]\n"), out)

    def test_what_interlocks_too_much_is_said_and_nothing_is_found_for_lack_of_an_answer(self):
        self.assertEqual(self.ask("lint", "pairs.hex"), (0, """\
pairs.hex: info: the tests interlock in more ways than the limit on work allows, so some questions have no answer [CG0106]
  advice    Look at the instruction that the message names.
""", ""))

    def test_code_that_is_never_reached_is_told_and_does_not_matter(self):
        self.assertEqual(self.ask("prove", "unreachable.hex", "--equal", "one.hex"), (0, "unreachable.hex is equal to one.hex: proved\n", ""))
        self.assertIn("info: 4093 of 4095 instructions are never reached [CG0207]\\n".replace("\\n", "\n"), self.ask("lint", "unreachable.hex")[1])
        self.assertEqual(self.ask("prove", "jumps.hex", "--equal", "one.hex"), (0, "jumps.hex is equal to one.hex: proved\n", ""))

    def test_what_the_kernel_refuses_is_refused(self):
        cases = {
            "20 0 0 0\n": "instruction 0, 'ld [0]': the last instruction must be ret",
            "15 5 0 0\n6 0 0 0\n": "instruction 0, 'jeq #0, l6, l1': jumps past the end; the last instruction is l1\n",
            "20 0 0 3\n6 0 0 0\n": "instruction 0, 'ld [3]': ",
            "34 0 0 0\n6 0 0 0\n": "instruction 0, 'div #0': ",
            "60 0 0 3\n6 0 0 0\n": "instruction 0, 'ld M[3]': ",
            "ff 0 0 0\n6 0 0 0\n": "instruction 0",
        }
        for content, reason in cases.items():
            with self.subTest(reason):
                self.put("a.hex", content)
                for verb in (("lint", "a.hex"), ("prove", "a.hex", "--never", "read"), ("diff", "one.hex", "a.hex"), ("report", "a.hex")):
                    status, out, err = self.ask(*verb)
                    self.assertEqual((status, out), (2, ""))
                    self.assertTrue(err.startswith("error: a.hex: not a seccomp filter: " + reason), err)
        self.put("a.hex", "6 0 0 0\n" * 4097)
        self.assertEqual(self.ask("lint", "a.hex"), (2, "", "error: a.hex: cannot read filter program: more than 4096 instructions, the kernel's "
                                                     "limit for one filter\n"))


class CutShort(BadInput):
    """No beginning of a file is taken for the whole."""

    PROFILE = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]})
    OBJECT = ("apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata:\n  name: a\nspec:\n"
              "  defaultAction: SCMP_ACT_ERRNO\n  architectures:\n  - SCMP_ARCH_X86_64\n  syscalls:\n  - names: [read, write]\n"
              "    action: SCMP_ACT_ALLOW\n")

    def test_json_profile(self):
        for size in range(1, len(self.PROFILE), 7):
            self.put("a.json", self.PROFILE[:size])
            status, out, err = self.ask("import", "-f", "oci", "a.json")
            self.assertEqual((status, out), (2, ""), size)
            self.assertRegex(err, r"^a\.json:1:\d+: error: [^\n]+\n    [^\n]*\n *\^")
        self.put("a.json", self.PROFILE)
        self.assertEqual(self.ask("import", "-f", "oci", "a.json")[0], 0)

    def test_yaml_object(self):
        whole = 0
        for size in range(1, len(self.OBJECT), 9):
            self.put("a.yaml", self.OBJECT[:size])
            status, out, err = self.ask("import", "-f", "spo", "a.yaml")
            whole += status == 0
            self.assertEqual(out == "", status == 2, (size, err))
            if status == 2:
                self.assertRegex(err, r"^a\.yaml:\d+:\d+: error: [^\n]+\n    ")
        # A list of rules that ends earlier is a list of rules.
        self.assertLess(whole, 12)

    def test_raw_filter(self):
        self.put("a.hex", hex_text([(LD, 0, 0, 0), (JEQ, 0, 1, 1), (RET, 0, 0, ALLOW), (RET, 0, 0, KILL)]))
        self.assertEqual(self.ask("asm", "-f", "raw", "-o", "a.bpf", "a.hex")[0], 2)  # a dump is no assembly
        self.ask("disasm", "a.hex")
        (self.at / "a.s").write_text(self.ask("disasm", "a.hex")[1])
        self.assertEqual(self.ask("asm", "-f", "raw", "-o", "a.bpf", "a.s")[0], 0)
        raw = (self.at / "a.bpf").read_bytes()
        self.assertEqual(len(raw), 32)
        for size in range(2, 32):  # the first byte alone is a blank: a policy that says nothing
            self.put("a.bpf", raw[:size])
            for verb in (("lint", "a.bpf"), ("diff", "a.bpf", "a.bpf"), ("decompile", "a.bpf")):
                status, out, err = self.ask(*verb)
                if size == 24:  # three instructions, the last a return; but the test before jumps to the fourth
                    self.assertIn("jumps past the end", err)
                self.assertEqual((status, out), (2, ""), (size, out))
                self.assertRegex(err, r"^error: a\.bpf: |^a\.bpf:\d+:\d+: error: ")


class Explosive(BadInput):
    def test_yaml_of_aliases_of_aliases(self):
        bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
        self.put("a.yaml", bomb)
        status, out, err = self.ask("import", "-f", "spo", "a.yaml")
        self.assertEqual((status, out), (2, ""))
        self.assertRegex(err.splitlines()[0], r"^a\.yaml:\d+:\d+: error: the file holds more than 524288 values, aliases counted$")
        self.assertLess(self.took, 20)

    def test_deep_and_long_trees(self):
        cases = {
            "deep.json": ("[" * 100000, "deep.json:1:66: error: values are nested more than 64 deep"),
            "many.json": ("[" + "0," * 600000 + "0]", "many.json:1:1048576: error: the file holds more than 524288 values"),
            "deep.yaml": ("[" * 5000, None),
            "maps.yaml": ("{a: " * 3000, None),
        }
        for name, (content, line) in cases.items():
            with self.subTest(name):
                self.put(name, content)
                status, out, err = self.ask("import", "-f", "spo" if name.endswith("yaml") else "oci", name)
                self.assertEqual((status, out), (2, ""))
                self.assertRegex(err, r"error: ")
                if line:
                    self.assertEqual(err.splitlines()[0], line)
                self.assertLess(self.took, 20)

    def test_bytes_that_are_no_text(self):
        chance = random.Random(1)
        for i in range(40):
            self.put("a", chance.randbytes(chance.choice([1, 3, 8, 9, 64, 4000])))
            for verb in (("lint", "a"), ("import", "a"), ("prove", "a", "--never", "read"), ("check", "a")):
                status, out, err = self.ask(*verb)
                self.assertEqual((status, out), (2, ""), (i, verb, err))
                self.assertIn("error: ", err.replace("callgate import: ", "error: "))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
