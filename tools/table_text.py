"""What the table generators share: the ABIs, the vocabulary of data/*.tsv, and how tables are written."""

import csv
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
COMMAND = "python3 tools/generate_tables.py"

# ABIs with number tables, in the order of abi::ArchId; then the byte-order twins and their sibling.
TABLE_ARCHES = (
    "x86_64 i386 x32 aarch64 arm riscv64 riscv32 ppc64le ppc64 ppc s390x s390 mips mips64 mips64n32 "
    "loongarch64 parisc parisc64 m68k sh sparc sparc64 alpha xtensa microblaze arc csky openrisc "
    "hexagon nios2").split()
TWINS = {"armeb": "arm", "mipsel": "mips", "mipsel64": "mips64", "mipsel64n32": "mips64n32",
         "sheb": "sh"}
ALL_ARCHES = TABLE_ARCHES + list(TWINS)
INDEX = {name: i for i, name in enumerate(ALL_ARCHES)}

# ILP32 ABIs whose registers are 64 bits wide: the kernel's native entries look at all of them.
WIDE_ILP32 = ("x32", "mips64n32", "mipsel64n32")

# ABIs whose constants were not compiled. Linux gives them asm-generic/errno.h (no errno.h of their
# own exists under arch/), so error numbers, and nothing else, are taken from another generic ABI.
GENERIC_ERRNO = ("microblaze", "csky", "openrisc", "hexagon", "nios2")
# mode "libc" was not evaluated on these. The first three use asm-generic headers as riscv64 does,
# the kernel's parisc headers do not depend on the word size. xtensa has no stand-in.
LIBC_STAND_IN = {"riscv32": "riscv64", "loongarch64": "riscv64", "arc": "riscv64",
                 "parisc64": "parisc"}
LIBC_NOT_EVALUATED = tuple(LIBC_STAND_IN) + ("xtensa",)
CONSTANT_ARCHES = [a for a in TABLE_ARCHES if a not in GENERIC_ERRNO]

# Names in the group list that no kernel ever had.
UNKNOWN_GROUP_MEMBERS = {"fstatat", "newfstat"}

KINDS = ("kInteger kFd kDirFd kFlags kEnum kMode kDev kPid kId kSignal kAddress kPath kString "
         "kStringVector kSockaddr kStruct kBuffer kPointer kVariant kLowHalf kHighHalf "
         "kUnused").split()
SIMPLE_KINDS = {
    **dict.fromkeys(("int32 uint32 int64 uint64 long ulong size count off off:pages key ipcid "
                     "timerid uint32:nr").split(), "kInteger"),
    "fd": "kFd", "dirfd": "kDirFd", "mode": "kMode", "dev": "kDev", "pid": "kPid", "uid": "kId",
    "gid": "kId", "uid16": "kId", "gid16": "kId", "signo": "kSignal", "addr": "kAddress",
    "unused": "kUnused"}
DIRECTIONS = {"": 0, "in": 1, "out": 2, "inout": 3}

WORD = 0  # width of a register
C_TYPES = {  # bits, signed
    "int": (32, True), "unsigned int": (32, False), "unsigned": (32, False), "u32": (32, False),
    "__u32": (32, False), "__s32": (32, True), "umode_t": (16, False), "pid_t": (32, True),
    "uid_t": (32, False), "gid_t": (32, False), "old_uid_t": (16, False), "old_gid_t": (16, False),
    "key_t": (32, True), "key_serial_t": (32, True), "clockid_t": (32, True), "mqd_t": (32, True),
    "timer_t": (32, True), "qid_t": (32, False), "rwf_t": (32, True), "utrap_entry_t": (32, True),
    "enum landlock_rule_type": (32, False), "enum pl_code": (32, False), "loff_t": (64, True),
    "__u64": (64, False), "off_t": (WORD, True), "long": (WORD, True), "size_t": (WORD, False),
    "unsigned long": (WORD, False), "uintptr_t": (WORD, False), "aio_context_t": (WORD, False),
    "old_sigset_t": (WORD, False), "cap_user_header_t": (WORD, False),
    "cap_user_data_t": (WORD, False), "__sighandler_t": (WORD, False),
    "utrap_handler_t": (WORD, False), "": (WORD, False)}


def fail(message):
    sys.exit(f"generate_tables: {message}")


def read(name):
    with open(DATA / name, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            fail(f"{name}:{number}: wrong number of columns")
    return rows


def mask_of(arches):
    return sum(1 << INDEX[a] for a in set(arches))


class Pool:
    """One string that holds every name of a table, each ended by NUL."""

    def __init__(self):
        self.offsets, self.strings, self.size = {}, [], 0

    def add(self, text):
        if text not in self.offsets:
            self.offsets[text] = self.size
            self.strings.append(text)
            self.size += len(text.encode()) + 1
        return self.offsets[text]

    def emit(self, name):
        lines = [f'    "{text}\\0"' for text in self.strings]
        return f"constexpr char {name}[] =\n" + "\n".join(lines) + ";\n"


def array(c_type, name, values):
    """values: one string per element or per group of elements."""
    lines, line = [], "   "
    for value in map(str, values):
        if len(line) + len(value) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {value},"
    lines.append(line)
    return f"constexpr {c_type} {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def intern(table, value):
    return table.setdefault(value, len(table))
