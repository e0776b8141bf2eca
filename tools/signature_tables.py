"""Signatures: which register of which call means what, on every ABI. Part of generate_tables.py."""

import re

from table_text import *


class Arg:
    """One register of a call on one ABI, everything resolved."""

    def __init__(self, name, c_type, kind, where):
        self.name, self.c_type, self.where = name, c_type, where
        self.aliases, self.pair_name, self.pair_aliases = [], "", []
        self.partner, self.set, self.flags_set, self.struct = -1, "", "", ""
        self.length_arg, self.direction, self.half, self.base = -1, 0, "", ""
        self.pair_signed = False
        self.parse(kind)

    def parse(self, kind):
        if kind in SIMPLE_KINDS:
            self.kind = SIMPLE_KINDS[kind]
            return
        if m := re.fullmatch(r"flags:(\w+)", kind):
            self.kind, self.set = "kFlags", "" if m[1] == "none" else m[1]
            return
        if m := re.fullmatch(r"enum:(\w+)(?:\|flags:(\w+))?", kind):
            self.kind, self.set, self.flags_set = "kEnum", m[1], m[2] or ""
            return
        if m := re.fullmatch(r"variant\(a(\d)\)", kind):
            self.kind, self.length_arg = "kVariant", int(m[1])
            return
        if m := re.fullmatch(r"(?:uint32|ulong):(off|len|mask)\.(lo|hi)", kind):
            self.kind = "kLowHalf" if m[2] == "lo" else "kHighHalf"
            self.half, self.base = m[2], m[1]
            self.pair_name = re.sub(r"_?(lo|hi|low|high|l|h)$", "", self.name)
            self.pair_signed = m[1] != "mask"
            return
        m = re.fullmatch(r"ptr:([^():]+)(?::([^():]+))?(?:\(a(\d)\))?(?::(in|out|inout))?", kind)
        if not m:
            fail(f"{self.where}: unknown kind '{kind}'")
        what, name, length, direction = m.groups()
        if name in DIRECTIONS:
            direction, name = name, None
        self.direction = DIRECTIONS[direction or ""]
        self.length_arg = int(length) if length else -1
        self.kind = {"path": "kPath", "string": "kString", "strv": "kStringVector",
                     "sockaddr": "kSockaddr", "struct": "kStruct", "buf_in": "kBuffer",
                     "buf_out": "kBuffer"}.get(what, "kPointer")
        if self.kind in ("kPath", "kString", "kStringVector"):
            self.direction = DIRECTIONS["in"]
        if self.kind == "kBuffer":
            self.direction = DIRECTIONS[what[4:]]
        if self.kind == "kStruct":
            self.struct = name

    def width(self, arch, compat):
        """Bits of the register that the kernel looks at, and whether order is signed."""
        if self.kind in ("kFd", "kDirFd", "kPid"):
            return 32, True  # truncated to int whatever the prototype says
        if self.kind in ("kLowHalf", "kHighHalf"):
            return 32, False
        c_type = re.sub(r"\bconst\b", "", self.c_type).strip()
        if c_type.endswith("*"):
            bits, signed = WORD, False
        elif c_type in C_TYPES:
            bits, signed = C_TYPES[c_type]
            if bits == WORD and arch in WIDE_ILP32 and compat and self.kind != "kAddress":
                bits = 32  # compat entries take compat_ulong_t
        else:
            fail(f"{self.where}: unknown C type '{c_type}'")
        if bits == WORD:
            bits = register_bits(arch)
        if self.kind in ("kFlags", "kMode"):
            signed = False  # bit patterns
        return bits, signed


ARCH_BITS = {}


def register_bits(arch):
    if not ARCH_BITS:
        for row in read("arches.tsv"):
            ARCH_BITS[row["arch"]] = 64 if row["arch"] in WIDE_ILP32 else int(row["bits"])
        for twin, sibling in TWINS.items():
            ARCH_BITS[twin] = ARCH_BITS[sibling]
    return ARCH_BITS[arch]


def resolve_pairs(args, syscall, arch, compat, mask_set):
    """Links the halves of 64-bit values; on ABIs that pass them whole, undoes the split."""
    for i, arg in enumerate(args):
        if not arg.half:
            continue
        others = [j for j, other in enumerate(args) if other.base == arg.base
                  and other.half not in ("", arg.half)]
        if len(others) != 1:
            fail(f"{arg.where}: half '{arg.name}' has no partner")
        arg.partner = others[0]
    wide = register_bits(arch) == 64 and not compat
    for i, arg in enumerate(args):
        if not arg.half:
            continue
        if wide:
            # preadv: pos_l holds the whole offset and pos_h is shifted out. _llseek: the kernel ors
            # two full registers, which no joined value describes.
            arg.partner = -1
            if re.match(r"p(read|write)v", syscall):
                arg.kind = "kInteger" if arg.half == "lo" else "kUnused"
                arg.c_type = "loff_t" if arg.half == "lo" else arg.c_type
                arg.aliases = [arg.pair_name] if arg.half == "lo" else []
            else:
                arg.kind = "kInteger"
            arg.pair_name = ""
        elif arg.base == "mask":
            arg.set = mask_set


def swap_halves(args, syscall):
    """The same call in the other byte order. Calls whose order is part of their definition stay."""
    if re.match(r"p(read|write)v|_?llseek", syscall):
        return args
    result = list(args)
    for i in range(len(args) - 1):
        if args[i].half and args[i].partner == i + 1:
            result[i], result[i + 1] = args[i + 1], args[i]
            result[i].partner, result[i + 1].partner = i + 1, i
    return result


def logical(args):
    """(name, class) of each value a policy can name, pairs joined, holes left out."""
    out = []
    for arg in args:
        if arg.kind == "kHighHalf" or arg.kind == "kUnused":
            continue
        if arg.kind == "kLowHalf":
            out.append((arg.pair_name, "kInteger"))
        else:
            out.append((arg.name, arg.kind))
    return out


def apply_aliases(args, syscall, generic, specific, siblings, used):
    names = {a.name for a in args} | {a.pair_name for a in args if a.pair_name}
    taken = {}

    def offer(owner, alias, must):
        if alias in names or taken.get(alias, owner) != owner:
            if must and alias != owner and alias in names:
                fail(f"argument_aliases.tsv: {syscall}: alias '{alias}' is another argument's name")
            return
        taken[alias] = owner

    owners = [a.pair_name or a.name for a in args if a.kind not in ("kHighHalf", "kUnused")]
    for owner in owners:
        for alias in specific.get((syscall, owner), []):
            used.add((syscall, owner))
            offer(owner, alias, True)
    for shape in siblings:
        mine = logical(args)
        if [k for _, k in shape] == [k for _, k in mine]:
            for (own, _), (other, _) in zip(mine, shape):
                for alias in [other] + specific.get((syscall, other), []):
                    offer(own, alias, False)
    for owner, name in [(o, o) for o in owners] + [(a.name, n) for a in args for n in a.aliases]:
        for alias in generic.get(name, []):
            used.add(("*", name))
            offer(owner, alias, False)
    paths = [a.name for a in args if a.kind == "kPath"]
    if len(paths) == 1:
        offer(paths[0], "path", False)
    for alias, owner in taken.items():
        for arg in args:
            if arg.pair_name == owner:
                arg.pair_aliases.append(alias)
            elif arg.name == owner and not arg.pair_name and alias not in arg.aliases:
                arg.aliases.append(alias)


def generate_signatures(names):
    rows = sorted(read("signatures.tsv"), key=lambda r: (r["name"], int(r["variant"])))
    generic, specific, used = {}, {}, set()
    for row in read("argument_aliases.tsv"):
        if row["syscall"] == "*":
            generic.setdefault(row["argument"], []).append(row["alias"])
        else:
            specific.setdefault((row["syscall"], row["argument"]), []).append(row["alias"])
    widths = {(r["syscall"], r["argument"]): int(r["bits"]) for r in read("argument_widths.tsv")}
    compat = {(r["arch"], r["name"]) for r in read("compat_entries.tsv")}
    by_name = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)

    pool, shapes, lists, index, table = Pool(), {}, {}, [], []
    pool.add("")
    for syscall in sorted(by_name):
        if syscall not in names:
            fail(f"signatures.tsv: {syscall} has no number anywhere")
        def build(row):
            args = []
            for i in range(6):
                if row[f"a{i}_kind"]:
                    where = f"signatures.tsv: {syscall} variant {row['variant']} a{i}"
                    args.append(Arg(row[f"a{i}_name"] or "pad", row[f"a{i}_type"],
                                    row[f"a{i}_kind"], where))
            return args
        mask_set = next((a.set for row in by_name[syscall] for a in build(row)
                         if a.name == "mask" and a.set), "")
        siblings = []
        for row in by_name[syscall]:
            arch = row["archs"].split(",")[0]
            args = build(row)
            resolve_pairs(args, syscall, arch, (arch, syscall) in compat, mask_set)
            siblings.append(logical(args))
        per_arch = {}
        for row in by_name[syscall]:
            for arch in row["archs"].split(","):
                if INDEX.get(arch) is None:
                    fail(f"signatures.tsv: {syscall}: unknown ABI '{arch}'")
                targets = [arch] + [t for t, sibling in TWINS.items() if sibling == arch]
                for target in targets:
                    is_compat = (arch, syscall) in compat
                    args = build(row)
                    resolve_pairs(args, syscall, target, is_compat, mask_set)
                    if target in TWINS:
                        args = swap_halves(args, syscall)
                    apply_aliases(args, syscall, generic, specific, siblings, used)
                    packed = []
                    for arg in args:
                        bits, signed = arg.width(target, is_compat)
                        bits = widths.get((syscall, arg.name), bits)
                        packed.append("{%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d}" % (
                            pool.add(arg.name), pool.add("|".join(arg.aliases)),
                            pool.add(arg.c_type), pool.add(arg.set), pool.add(arg.flags_set),
                            pool.add(arg.struct), pool.add(arg.pair_name),
                            pool.add("|".join(arg.pair_aliases)), KINDS.index(arg.kind), bits,
                            signed, arg.pair_signed, arg.length_arg, arg.partner, arg.direction))
                    if target in per_arch:
                        fail(f"signatures.tsv: {syscall}: two rows for {target}")
                    per_arch[target] = tuple(intern(shapes, p) for p in packed)
        grouped = {}
        for arch, args in per_arch.items():
            grouped.setdefault(args, []).append(arch)
        for args, arches in grouped.items():
            if args not in lists:
                lists[args] = len(index)
                index.extend(args)
            table.append("{%#x, %d, %d, %d}" % (mask_of(arches), names.index(syscall), lists[args],
                                                len(args)))
    for key in list(specific) + [("*", name) for name in generic]:
        if key not in used:
            fail(f"argument_aliases.tsv: {key[0]} has no argument '{key[1]}'")
    if pool.size > 0xffff:
        fail("signatures: string pool outgrew 16-bit offsets")
    out = pool.emit("kTextPool")
    out += array("PackedArgument", "kShapes", shapes)
    out += array("std::uint16_t", "kShapeIndex", index)
    out += "// ABIs, name, first of kShapeIndex, count; sorted by name.\n"
    out += array("PackedSignature", "kSignatures", table)
    return out
