#!/usr/bin/env python3
"""Writes src/abi/generated/*.inc from data/*.tsv.

    python3 tools/generate_tables.py [OUTPUT_FOLDER]

The tables hold no pointers: names are offsets into one string per file, lists are ranges of index
arrays. So they live in .rodata, need no relocation and cost nothing until they are read. Whatever
differs by ABI is resolved here: the C++ side only looks up, it never interprets a KIND.

Every inconsistency of the data ends the run with a message that names file and row.
"""
import pathlib
import sys

from signature_tables import generate_signatures
from table_text import *

# ---------------------------------------------------------------- ABIs

def generate_arches():
    rows = {row["arch"]: row for row in read("arches.tsv")}
    if list(rows) != TABLE_ARCHES:
        fail("arches.tsv: ABIs or their order differ from abi::ArchId")
    lines = []
    for name in ALL_ARCHES:
        row = rows[TWINS.get(name, name)]
        values = row["audit_value"].split(",")
        endian = row["endian"].split()[0]
        if name in TWINS:
            endian = "little" if endian == "big" else "big"
        if len(values) == 2 and row["arch"] != "arc":  # arc lists two processors, not byte orders
            little = [v for v in values if int(v, 16) & 0x40000000]
            big = [v for v in values if not int(v, 16) & 0x40000000]
            value = (little if endian == "little" else big)[0]
        else:
            value = values[0]
        # Wide ILP32 ABIs: seccomp_data shows 64-bit registers.
        bits = 64 if name in WIDE_ILP32 else int(row["bits"])
        flags = ", ".join("true" if row[c] == "y" else "false" for c in ("has_socketcall", "has_ipc"))
        lines.append(f'    {{"{name}", {value}, {row["nr_base"]}, std::endian::{endian}, '
                     f'ArchId{{{INDEX[name]}}}, ArchId{{{INDEX[TWINS.get(name, name)]}}}, '
                     f'{bits}, {flags}}},')
    return "constexpr Arch kArches[] = {\n" + "\n".join(lines) + "\n};\n"


# ---------------------------------------------------------------- numbers

STATUS = {"active": 0, "unimplemented": 1, "arm-private": 2, "new": 3}


def since_of(text):
    """First kernel as major << 8 | minor; 0 where it is not recorded."""
    versions = [tuple(map(int, v.split(".")[:2])) for v in text.split(";") if v]
    return min(major << 8 | minor for major, minor in versions) if versions else 0


def generate_syscalls():
    rows = sorted(read("syscalls.tsv"), key=lambda row: row["name"])
    names = [row["name"] for row in rows]
    bases = {row["arch"]: int(row["nr_base"], 0) for row in read("arches.tsv")}
    pool = Pool()
    offsets = [pool.add(name) for name in names]
    packed, begins = [], []
    for arch in TABLE_ARCHES:
        begins.append(len(packed))
        numbers, primary = [], {}
        for i, row in enumerate(rows):
            if not row[arch]:
                continue
            nr = int(row[arch], 0) - bases[arch]
            if not 0 <= nr < 1 << 20:
                fail(f"syscalls.tsv: {row['name']} on {arch}: {row[arch]} does not fit 20 bits")
            # A second name of one number, as the ABI's unistd.h spells it, comes second.
            is_alias = f"{arch}: header alias of" in row["notes"]
            if not is_alias:
                if nr in primary:
                    fail(f"syscalls.tsv: {row['name']} and {primary[nr]} share a number on {arch}")
                primary[nr] = row["name"]
            numbers.append((nr, is_alias, i))
        packed += [hex(nr << 12 | i) for nr, _, i in sorted(numbers)]
    begins.append(len(packed))
    out = pool.emit("kNamePool")
    out += array("std::uint16_t", "kNameOffsets", offsets)
    out += "// First kernel: major << 8 | minor; 0 if not recorded.\n"
    out += array("std::uint16_t", "kSince", (hex(since_of(row["since"])) for row in rows))
    out += array("std::uint8_t", "kStatus", (STATUS[row["status"]] for row in rows))
    out += "// Per ABI, by number: (number - nr_base) << 12 | name.\n"
    out += array("std::uint32_t", "kNumbers", packed)
    out += array("std::uint16_t", "kNumbersBegin", begins)
    return out, names

# ---------------------------------------------------------------- constants

def arches_of_constant(row):
    """Which ABIs define it, and its value on each."""
    every = [a for a in CONSTANT_ARCHES
             if row["mode"] != "libc" or a not in LIBC_NOT_EVALUATED]
    kind, _, listed = row["availability"].partition(":")
    if kind == "only":
        defined = [a for a in every if a in listed.split(",")]
    else:
        defined = [a for a in every if a not in listed.split(",")]
    overrides = {}
    for part in filter(None, row["arch_overrides"].split(";")):
        arches, _, value = part.partition("=")
        overrides.update({a: int(value, 0) for a in arches.split(",")})
    values = {}
    for arch in defined:
        if arch in overrides:
            values[arch] = overrides[arch]
        elif row["value"]:
            values[arch] = int(row["value"])
        elif kind:
            fail(f"constants.tsv: {row['set']} {row['name']}: no value on {arch}")
    for arch in overrides:
        if arch not in values:
            fail(f"constants.tsv: {row['set']} {row['name']}: value but not available on {arch}")
    if row["mode"] == "libc":
        for arch, other in LIBC_STAND_IN.items():
            if other in values:
                values[arch] = values[other]
        if not overrides and "x86_64" in values and not kind:
            values["xtensa"] = values["x86_64"]
    if row["set"] in ("errno", "libc.errno") and "riscv32" in values:
        for arch in GENERIC_ERRNO:
            values[arch] = values["riscv32"]
    return values


def generate_constants():
    rows = read("constants.tsv")
    names = sorted({row["name"] for row in rows})
    number = {name: i for i, name in enumerate(names)}
    pool = Pool()
    offsets = [pool.add(name) for name in names]
    sets, set_begin, entries, masks, overrides = [], [], [], {}, []
    by_name = [[] for _ in names]
    for i, row in enumerate(rows):
        if not sets or sets[-1] != row["set"]:
            if row["set"] in sets:
                fail(f"constants.tsv: set {row['set']} is not in one piece")
            sets.append(row["set"])
            set_begin.append(i)
        values = arches_of_constant(row)
        if not values:
            fail(f"constants.tsv: {row['set']} {row['name']} has no value on any ABI")
        common = max(sorted(set(values.values())), key=list(values.values()).count)
        exceptions = {}
        for arch, value in values.items():
            if value != common:
                exceptions.setdefault(value, []).append(arch)
        for value, arches in sorted(exceptions.items()):
            overrides.append("{%#x, %d, %d}" % (value % (1 << 64), i,
                                               intern(masks, mask_of(arches))))
        entries.append("{%#x, %d, %d}" % (common % (1 << 64), number[row["name"]],
                                         intern(masks, mask_of(values))))
        by_name[number[row["name"]]].append(i)
    set_begin.append(len(rows))
    begins, order = [], []
    for indices in by_name:
        begins.append(len(order))
        order += indices
    begins.append(len(order))
    if len(masks) > 0xffff:
        fail("constants: too many ABI sets")
    out = pool.emit("kNamePool")
    out += array("std::uint32_t", "kNameOffsets", offsets)
    set_pool = Pool()
    set_offsets = [set_pool.add(s) for s in sets]
    out += set_pool.emit("kSetPool")
    out += array("std::uint16_t", "kSetOffsets", set_offsets)
    out += array("std::uint16_t", "kSetBegin", set_begin)
    out += "// Value on most ABIs, name, ABIs that define it (kMasks).\n"
    out += array("Entry", "kEntries", entries)
    out += "// Other value, entry, on which ABIs (kMasks); sorted by entry.\n"
    out += array("Override", "kOverrides", overrides)
    out += array("std::uint32_t", "kMasks", map(hex, masks))
    out += "// Entries of each name.\n"
    out += array("std::uint16_t", "kEntriesOfName", order)
    out += array("std::uint16_t", "kEntriesOfNameBegin", begins)
    return out


# ---------------------------------------------------------------- structures

def generate_structs():
    rows = read("structs.tsv")
    measured = sorted({a for row in rows for a in row["archs"].split(",")} - {"*"})
    pool, fields, layouts = Pool(), [], []
    pool.add("")
    previous = None
    for row in sorted(rows, key=lambda r: r["struct"]):  # stable: field order stays
        if row["offset"] == "bitfield" or row["kind"] == "bitfield":
            continue  # a bit-field has no address
        arches = row["archs"].split(",") if row["archs"] != "*" else [
            a for a in measured
            if not row["header"].startswith("libc") or a not in LIBC_NOT_EVALUATED]
        key = (row["struct"], mask_of(arches), int(row["total_size"]))
        if key != previous:
            layouts.append([*key, len(fields), 0])
            previous = key
        layouts[-1][4] += 1
        fields.append("{%d, %d, %s, %s, %d}" % (
            pool.add(row["field"]), pool.add(row["kind"]), row["offset"], row["size"],
            pool.add(row["group"])))
    table = ["{%#x, %d, %d, %d, %d}" % (mask, size, pool.add(name), first, count)
             for name, mask, size, first, count in layouts]
    if pool.size > 0xffff:
        fail("structs: string pool outgrew 16-bit offsets")
    out = pool.emit("kTextPool")
    out += "// Name, kind, offset, size, group.\n"
    out += array("PackedField", "kFields", fields)
    out += "// ABIs, size, name, first of kFields, count; sorted by name.\n"
    out += array("PackedStruct", "kStructs", table)
    return out


# ---------------------------------------------------------------- groups

def generate_groups(names):
    direct = {}
    for row in read("groups.tsv"):
        direct.setdefault(row["group"], []).append((row["member"], row["kind"]))
    for row in read("groups_own.tsv"):
        direct.setdefault(row["group"], []).append((row["member"], "syscall"))

    def expand(group, path):
        if group in path:
            fail(f"groups.tsv: {group} contains itself")
        members = set()
        for member, kind in direct[group]:
            if kind == "group":
                members |= expand(member, path + [group])
            elif member not in UNKNOWN_GROUP_MEMBERS:
                if member not in names:
                    fail(f"groups.tsv: {group}: unknown call '{member}'")
                members.add(member)
        return members

    descriptions = {row["group"]: row["description"] for row in read("group_descriptions.tsv")}
    if set(descriptions) != set(direct):
        fail(f"group_descriptions.tsv: differs from the groups: "
             f"{sorted(set(descriptions) ^ set(direct))}")
    pool, members, table = Pool(), [], []
    for group in direct:
        ids = sorted(names.index(member) for member in expand(group, []))
        table.append("{%d, %d, %d, %d}" % (pool.add(group), pool.add(descriptions[group]),
                                          len(members), len(ids)))
        members += ids
    out = pool.emit("kTextPool")
    out += "// Members as indices of AllSyscallNames().\n"
    out += array("std::uint16_t", "kMembers", members)
    out += "// Name, description, first of kMembers, count.\n"
    out += array("PackedGroup", "kGroups", table)
    return out


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src/abi/generated"
    syscalls, names = generate_syscalls()
    files = {"arches": generate_arches(), "syscalls": syscalls,
             "signatures": generate_signatures(names), "constants": generate_constants(),
             "structs": generate_structs(), "groups": generate_groups(names)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        head = (f"// Written by tools/generate_tables.py from data/*.tsv; do not edit. To write it "
                f"again:\n//   {COMMAND}\n// clang-format off\n\n")
        (folder / f"{name}.inc").write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    main()
