"""Runs filters, and compares what `callgate import` makes of a file with foreign_oracle's reading."""

import itertools
import random
import subprocess

import foreign_tables as tables

TOP = 2**64 - 1


class Filter:
    """A cBPF program, interpreted."""

    JUMPS = {0x15: lambda a, k: a == k, 0x25: lambda a, k: a > k, 0x35: lambda a, k: a >= k,
             0x45: lambda a, k: a & k != 0}

    def __init__(self, listing):
        self.code = []
        for line in listing.splitlines():
            parts = line.split("#")[0].split()
            if parts:
                self.code.append(tuple(int(part, 16) for part in parts))

    def run(self, nr, arch, args):
        words = [nr & 0xffffffff, arch, 0, 0]
        for arg in args:
            words += [arg & 0xffffffff, arg >> 32]
        at = a = 0
        while True:
            code, jt, jf, k = self.code[at]
            at += 1
            if code == 0x20:
                a = words[k // 4]
            elif code == 0x06:
                return k
            elif code == 0x05:
                at += k
            elif code == 0x54:
                a &= k
            elif code in self.JUMPS:
                at += jt if self.JUMPS[code](a, k) else jf
            else:
                raise ValueError(f"instruction {code:#x}")


def neighbours(value, bits):
    mask = 2**bits - 1
    around = {value - 1, value, value + 1, value ^ 1, value | 1 << 32, value | 1 << 63, value & 0xffffffff,
              ~value, value ^ 1 << 31, value + (1 << 32)}
    for bit in range(bits):
        if value >> bit & 1:
            around.add(value ^ 1 << bit)
    return {v & mask for v in around}


def calls_of(reading, arch, seed, thorough):
    """(nr, args) to try on one ABI: every number, and where arguments matter every boundary.

    Not thorough: a part of both, another for each file.
    """
    base = tables.X32 if arch == "x32" else 0
    table = set(tables.numbers(arch).values())
    numbers = sorted(table | {base + n for n in range(700)} | {n + 1 for n in table} | ({-1} if not base else set()))
    # ARM's byte order: a policy for a 32-bit ABI sees 32-bit registers only.
    bits = 32 if arch in ("i386", "arm", "mips", "mipsel", "ppc", "s390") else 64
    rng = random.Random(seed)
    for nr in numbers:
        values = reading.interesting(arch, nr)
        if not thorough and rng.random() < (0.5 if values else 0.9):
            continue
        yield nr, [0] * 6
        yield nr, [2**bits - 1] * 6
        yield nr, [rng.getrandbits(bits) for _ in range(6)]
        if not values:
            continue
        tries = {i: sorted(set().union(*(neighbours(v, bits) for v in some))) for i, some in values.items()}
        for i, some in tries.items():
            for value in some if thorough else rng.sample(some, min(len(some), 60)):
                args = [rng.getrandbits(bits) for _ in range(6)]
                for j, other in tries.items():
                    args[j] = rng.choice(sorted(values[j])) & 2**bits - 1
                args[i] = value
                yield nr, args
        for combination in itertools.islice(itertools.product(*(sorted(v) for v in values.values())), 300 if thorough else 30):
            args = [0] * 6
            for i, value in zip(values, combination):
                args[i] = value & 2**bits - 1
            yield nr, args


def first_difference(reading, program, seed, thorough):
    """A call the two decide differently, as text; None if there is none. And how many were tried."""
    tried = 0
    for arch in reading.arches:
        audit = tables.AUDIT_ARCH[arch]
        for nr, args in calls_of(reading, arch, seed, thorough):
            if reading.unsure(arch, nr):
                continue
            tried += 1
            want, got = reading.decide(arch, nr, args), program.run(nr, audit, args)
            if want != got:
                return f"{arch} {nr} {[hex(a) for a in args]}: file {want:#x}, policy {got:#x}", tried
    for arch, audit in tables.AUDIT_ARCH.items():
        if audit not in {tables.AUDIT_ARCH[a] for a in reading.arches}:
            tried += 1
            got = program.run(1, audit, [0] * 6)
            if got != reading.bad_arch:
                return f"other ABI {arch}: file {reading.bad_arch:#x}, policy {got:#x}", tried
    return None, tried


def command(callgate, *arguments, **more):
    return subprocess.run([callgate, *arguments], capture_output=True, text=True, timeout=60, **more)
