"""Container profiles and Firecracker filters, evaluated straight from the file."""

import json

import yaml

from foreign_tables import (ALLOW, ENOSYS, IPC, KILL, KILL_THREAD, LOG, MULTIPLEXED, NOTIFY, Reading, Refused,
                            SOCKETCALL, TRACE, TRAP, errno, numbers, with_x32)


SCMP = {"X86_64": "x86_64", "X86": "i386", "X32": "x32", "AARCH64": "aarch64", "ARM": "arm",
        "MIPS": "mips", "MIPS64": "mips64", "MIPS64N32": "mips64n32", "MIPSEL": "mipsel",
        "MIPSEL64": "mipsel64", "MIPSEL64N32": "mipsel64n32", "PPC": "ppc", "PPC64": "ppc64",
        "PPC64LE": "ppc64le", "S390": "s390", "S390X": "s390x", "RISCV64": "riscv64"}
DOCKER = {"x86_64": "amd64", "aarch64": "arm64", "arm": "arm", "i386": "x86", "s390x": "s390x",
          "ppc64le": "ppc64le", "riscv64": "riscv64"}
CAPS = {"CAP_" + name for name in
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP SYS_CHROOT KILL "
        "AUDIT_WRITE NET_BIND_SERVICE".split()}
def scmp_action(name, data):
    data = 1 if data is None else data
    words = {"ALLOW": ALLOW, "LOG": LOG, "NOTIFY": NOTIFY, "KILL": KILL_THREAD, "KILL_THREAD": KILL_THREAD,
             "KILL_PROCESS": KILL, "TRAP": TRAP, "ERRNO": errno(data), "TRACE": TRACE | data & 0xffff}
    if name == "SCMP_ACT_ERRNO" and data > 4094:
        raise Refused(f"errno {data}")
    if not name.startswith("SCMP_ACT_") or name[9:] not in words:
        raise Refused(f"action {name}")
    return words[name[9:]]


def compare(op, value, a, b, mask):
    value, a, b = value & mask, a & mask, b & mask
    return {"NE": value != a, "LT": value < a, "LE": value <= a, "EQ": value == a, "GE": value >= a,
            "GT": value > a, "MASKED_EQ": value & a == b}[op]


def read_oci(profile, native="x86_64"):
    """The steps of runc, one after the other, for each call anew."""
    if "defaultAction" not in profile:
        raise Refused("no defaultAction")
    arches = [native]
    for name in profile.get("architectures") or []:
        arches.append(SCMP[name.removeprefix("SCMP_ARCH_")])
    for row in profile.get("archMap") or []:
        if SCMP[row["architecture"].removeprefix("SCMP_ARCH_")] == native:
            arches += [SCMP[sub.removeprefix("SCMP_ARCH_")] for sub in row["subArchitectures"] or []]
    arches = list(dict.fromkeys(arches))
    default = scmp_action(profile["defaultAction"], profile.get("defaultErrnoRet"))

    rules = []  # (name, action, conditions)
    named = []
    for entry in profile.get("syscalls") or []:
        includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
        here = DOCKER.get(native)
        if includes.get("arches") and here not in includes["arches"]:
            continue
        if here in (excludes.get("arches") or []):
            continue
        if not set(includes.get("caps") or []) <= CAPS or set(excludes.get("caps") or []) & CAPS:
            continue
        action = scmp_action(entry["action"], entry.get("errnoRet"))
        conditions = [(arg.get("index", 0), arg["op"].removeprefix("SCMP_CMP_"), arg.get("value", 0),
                       arg.get("valueTwo", 0)) for arg in entry.get("args") or []]
        for name in entry.get("names") or [entry["name"]]:
            named.append(name)
            if action == default:
                continue
            indices = [condition[0] for condition in conditions]
            if len(set(indices)) < len(indices):
                rules += [(name, action, [condition]) for condition in conditions]
            else:
                rules.append((name, action, conditions))

    by_call = {}  # (arch, nr) → [(action, conditions)]
    largest = {}
    for arch in arches:
        table = numbers(arch)
        for name in named:
            if name in table and not (arch in MULTIPLEXED and (name in SOCKETCALL or name in IPC)):
                largest[arch] = max(largest.get(arch, 0), table[name])
        for name, action, conditions in rules:
            if arch in MULTIPLEXED and (name in SOCKETCALL or name in IPC):
                through = "socketcall" if name in SOCKETCALL else "ipc"
                number = SOCKETCALL.index(name) + 1 if name in SOCKETCALL else IPC[name]
                if through in table:
                    by_call.setdefault((arch, table[through]), []).append(
                        (action, [(0, "EQ", number, 0)] + [c for c in conditions if c[0] != 0]))
            if name in table:
                by_call.setdefault((arch, table[name]), []).append((action, conditions))
    stub = default not in (ALLOW, LOG) and default & 0xffff0000 != TRACE
    if stub and "x86_64" in largest and "x32" not in arches:
        arches = arches + ["x32"]  # decided by the stub, before libseccomp looks at the number

    def decide(arch, nr, args):
        if stub and (arch in largest or arch == "x32" and "x86_64" in largest):
            limit = largest.get(arch, 0)
            if nr & 0xffffffff > limit or (nr == 0 and arch in ("s390", "s390x")):
                return errno(ENOSYS)
        mask = 0xffffffff if arch in ("i386", "x32", "arm", "mips", "mipsel", "ppc", "s390") else 2**64 - 1
        mine = by_call.get((arch, nr), [])
        for action, conditions in mine:
            if not conditions:
                return action
        for action, conditions in mine:
            if all(compare(op, args[i], a, b, mask) for i, op, a, b in conditions):
                return action
        return default

    def interesting(arch, nr):
        values = {}
        for _, conditions in by_call.get((arch, nr), []):
            for i, op, a, b in conditions:
                values.setdefault(i, set()).update({a, b} if op == "MASKED_EQ" else {a})
        return values

    # A table with huge gaps (ARM) is not filled number by number; the importer notes it.
    def unsure(arch, nr):
        return arch == "arm" and nr not in numbers("arm").values()

    return Reading(arches, decide, interesting, bad_arch=KILL_THREAD, unsure=unsure)


def read_oci_file(text, native="x86_64", **_):
    return read_oci(json.loads(text), native)


def read_spo(text, native="x86_64", name=None, **_):
    profiles = [d for d in yaml.safe_load_all(text) if isinstance(d, dict) and d.get("kind") == "SeccompProfile"]
    profiles = [d for d in profiles if name is None or d["metadata"]["name"] == name]
    if len(profiles) != 1:
        raise Refused("not one profile")
    return read_oci(profiles[0]["spec"], native)


def fire_action(action):
    if isinstance(action, dict):
        (kind, number), = action.items()
        return errno(number) if kind == "errno" else TRACE | number
    return {"allow": ALLOW, "trap": TRAP, "log": LOG, "kill_process": KILL, "kill_thread": KILL_THREAD}[action]


def read_firecracker(text, native="x86_64", name=None, **_):
    filter_ = json.loads(text)[name]
    default, match = fire_action(filter_["default_action"]), fire_action(filter_["filter_action"])
    calls = {}
    for rule in filter_["filter"]:
        if rule["syscall"] not in numbers(native):
            raise Refused(rule["syscall"])
        calls.setdefault(numbers(native)[rule["syscall"]], []).append(rule.get("args"))

    def holds(arg, args):
        mask = 0xffffffff if arg["type"] == "dword" else 2**64 - 1
        value, wanted = args[arg["index"]] & mask, arg["val"] & mask
        if isinstance(arg["op"], dict):
            return value & arg["op"]["masked_eq"] == wanted & arg["op"]["masked_eq"]
        return {"eq": value == wanted, "ne": value != wanted, "lt": value < wanted, "le": value <= wanted,
                "gt": value > wanted, "ge": value >= wanted}[arg["op"]]

    def decide(arch, nr, args):
        chains = calls.get(nr) if arch == native else None
        if chains is None:
            return default
        conditional = [chain for chain in chains if chain is not None]
        if not conditional or any(all(holds(arg, args) for arg in chain) for chain in conditional):
            return match
        return default

    def interesting(_, nr):
        values = {}
        for chain in calls.get(nr) or []:
            for arg in chain or []:
                values.setdefault(arg["index"], set()).add(arg["val"])
        return values

    return Reading(with_x32(native), decide, interesting)
