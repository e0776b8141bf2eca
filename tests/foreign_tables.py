"""What the second readers of foreign policies share: tables of facts, words a filter returns."""


import csv
import functools
import pathlib

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"

ALLOW, LOG, TRACE, NOTIFY = 0x7fff0000, 0x7ffc0000, 0x7ff00000, 0x7fc00000
TRAP, KILL_THREAD, KILL = 0x00030000, 0, 0x80000000
X32 = 0x40000000
ENOSYS = 38


def errno(number):
    return 0x00050000 | min(number & 0xffff, 4095)


# linux/net.h and linux/ipc.h: first arguments of socketcall and ipc.
SOCKETCALL = ("socket bind connect listen accept getsockname getpeername socketpair send recv sendto "
              "recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg").split()
IPC = {"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13,
       "msgctl": 14, "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24}
MULTIPLEXED = {"i386", "s390", "s390x", "ppc", "ppc64", "ppc64le", "mips", "mipsel"}


class Refused(Exception):
    """The runtime would refuse the file, or a policy cannot hold it."""


def rows(name):
    with open(DATA / name, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


@functools.cache
def numbers(arch):
    """Name → number of one ABI."""
    return {row["name"]: int(row[arch]) for row in rows("syscalls.tsv") if row[arch]}


@functools.cache
def all_names():
    return {row["name"] for row in rows("syscalls.tsv")}


@functools.cache
def constants(arch):
    found = {}
    for row in rows("constants.tsv"):
        value = int(row["value"]) if row["value"] else None
        for part in filter(None, row["arch_overrides"].split(";")):
            arches, other = part.split("=")
            if arch in arches.split(","):
                value = None if other == "-" else int(other, 0)
        if value is not None:
            found.setdefault(row["name"], value)
    return found


@functools.cache
def widths(arch):
    """Name → bits of its arguments, for Kafel: 32 or 64."""
    narrow = {"fd", "dirfd", "int32", "uint32", "flags32"}
    found = {}
    for row in rows("signatures.tsv"):
        if arch in row["archs"].split(",") or row["archs"] == "*":
            bits = []
            for i in range(int(row["nargs"])):
                c_type = row[f"a{i}_type"]
                bits.append(32 if c_type in ("int", "unsigned int", "pid_t", "uid_t", "gid_t") or
                            row[f"a{i}_kind"] in narrow else 64)
            found[row["name"]] = [(row[f"a{i}_name"], bits[i]) for i in range(int(row["nargs"]))]
    return found


@functools.cache
def group(name):
    members = set()
    for row in rows("groups.tsv"):
        if row["group"] == name:
            members |= group(row["member"]) if row["kind"] == "group" else {row["member"]}
    return frozenset(members)


AUDIT_ARCH = {row["arch"]: int(row["audit_value"].split(",")[0], 0) for row in rows("arches.tsv")}


class Reading:
    """What a file says. decide(arch, nr, args) → word; interesting: (arch, nr) → values by argument."""

    def __init__(self, arches, decide, interesting=None, bad_arch=KILL, unsure=None):
        self.arches = arches
        self.decide = decide
        self.interesting = interesting or (lambda arch, nr: {})
        self.bad_arch = bad_arch
        # Calls that are left out, each for a reason that the importer notes.
        self.unsure = unsure or (lambda arch, nr: False)


def with_x32(native):
    return [native, "x32"] if native == "x86_64" else [native]
