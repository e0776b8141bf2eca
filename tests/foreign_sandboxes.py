"""minijail, Kafel and systemd policies, evaluated straight from the file."""

import re

from foreign_tables import (ALLOW, ENOSYS, IPC, KILL, KILL_THREAD, LOG, MULTIPLEXED, NOTIFY, Reading, Refused,
                            SOCKETCALL, TRACE, TRAP, X32, all_names, constants, errno, group, numbers, widths,
                            with_x32)


def mini_value(text, native):
    """A|~B|0x10 as a 64-bit number."""
    total = 0
    for part in text.replace("(", "").replace(")", "").split("|"):
        part = part.strip()
        inverted = part.startswith("~")
        part = part.lstrip("~").strip()
        if re.fullmatch(r"-?0[0-7]+", part):
            value = int(part.replace("0", "0o", 1), 0)
        elif re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", part):
            value = int(part, 0)
        elif part in constants(native):
            value = constants(native)[part]
        else:
            raise Refused(f"constant {part}")
        total |= ~value if inverted else value
    return total & (2**64 - 1)


def mini_action(text, native):
    text = text.strip()
    words = {"1": ALLOW, "allow": ALLOW, "kill": KILL, "kill-process": KILL, "kill-thread": KILL_THREAD,
             "trap": TRAP, "trace": TRACE, "log": LOG, "user-notify": NOTIFY}
    if text in words:
        return words[text]
    if text.startswith("return "):
        return errno(mini_value(text[7:], native))
    raise Refused(f"action {text}")


def mini_atoms(text, native):
    """arg0 == 1 && … || … → list of conjunctions of (index, op, value)."""
    result = []
    for group_ in text.split("||"):
        atoms = []
        for atom in group_.split("&&"):
            match = re.fullmatch(r"\s*arg([0-5])\s*(==|!=|<=|>=|<|>|&|in)\s*(.+?)\s*", atom)
            if not match:
                raise Refused(f"atom {atom}")
            atoms.append((int(match[1]), match[2], mini_value(match[3], native)))
        result.append(atoms)
    return result


def mini_lines(text, include, depth=0):
    if depth > 20:
        raise Refused("includes itself")
    text = re.sub(r"#.*", "", text)
    text = re.sub(r"\\[ \t]*\n", " ", text)
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("@include"):
            yield from mini_lines(include(line.split()[1]), include, depth + 1)
        elif line:
            yield line


def read_minijail(text, native="x86_64", include=None, **_):
    mask = 2**64 - 1 if native in ("x86_64", "aarch64", "riscv64") else 0xffffffff
    calls = {}  # nr → [(conjunctions or None, action)]
    default = KILL
    for line in mini_lines(text, include):
        if line.startswith("@frequency"):
            continue
        if line == "@denylist":
            default = ALLOW
            continue
        if line.startswith("@default"):
            default = mini_action(line[8:], native)
            continue
        name, _, rest = line.partition(":")
        name, rest = name.strip().removeprefix("ARM_"), rest.strip()
        if name not in numbers(native):
            raise Refused(f"call {name}")
        filters = calls.setdefault(numbers(native)[name], [])
        if filters and filters[-1][0] is None:
            filters = []  # said for good already
        if rest.startswith("{"):
            for part in rest.strip("{}").split(","):
                expression, _, action = part.partition(";")
                if expression.strip().startswith("arg"):
                    filters.append((mini_atoms(expression, native), mini_action(action or "1", native)))
                else:
                    filters.append((None, mini_action(expression, native)))
        elif not rest.startswith("arg"):
            filters.append((None, mini_action(rest, native)))
        else:
            expression, _, action = rest.partition(";")
            filters.append((mini_atoms(expression, native), ALLOW))
            if action:
                filters.append((None, mini_action(action, native)))

    def holds(atom, args):
        index, op, value = atom
        arg, value = args[index] & mask, value & mask
        return {"==": arg == value, "!=": arg != value, "<": arg < value, "<=": arg <= value, ">": arg > value,
                ">=": arg >= value, "&": arg & value != 0, "in": arg & ~value & mask == 0}[op]

    def decide(arch, nr, args):
        for conjunctions, action in calls.get(nr, []) if arch == native else []:
            if conjunctions is None or any(all(holds(a, args) for a in c) for c in conjunctions):
                return action
        return default

    def interesting(_, nr):
        values = {}
        for conjunctions, _ in calls.get(nr, []):
            for index, _, value in (atom for c in conjunctions or [] for atom in c):
                values.setdefault(index, set()).add(value)
        return values

    return Reading(with_x32(native), decide, interesting)


KAFEL_TOKEN = re.compile(r'\s+|//[^\n]*|/\*.*?\*/|(#?\w+|"[^"]*"|==|!=|<=|>=|&&|\|\||[{}()\[\]<>,;!&|-])', re.S)


def kafel_tokens(text):
    return [match[1] for match in KAFEL_TOKEN.finditer(text) if match[1]]


def read_kafel(text, native="x86_64", include=None, **_):
    """Statements are kept as tokens; an expression is evaluated as Python for each call."""
    defines, policies = {}, {}

    def number(token, sign=1):
        if token in defines:
            return sign * defines[token]
        if not re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", token):
            raise Refused(f"constant {token}")
        if re.fullmatch(r"0[0-7]+", token):
            return sign * int(token, 8)
        return sign * int(token, 0)

    def action_of(tokens):
        word = tokens.pop(0)
        words = {"ALLOW": ALLOW, "LOG": LOG, "KILL": KILL_THREAD, "DENY": KILL_THREAD,
                 "KILL_THREAD": KILL_THREAD, "KILL_PROCESS": KILL, "USER_NOTIF": NOTIFY}
        if word in words:
            return words[word]
        value = number(tokens[1])
        del tokens[:3]
        return {"ERRNO": errno(value), "TRAP": TRAP | value & 0xffff, "TRACE": TRACE | value & 0xffff}[word]

    def block(tokens):
        """The tokens up to the brace that closes the one in front."""
        assert tokens.pop(0) == "{"
        depth, inner = 1, []
        while True:
            token = tokens.pop(0)
            depth += {"{": 1, "}": -1}.get(token, 0)
            if depth == 0:
                return inner
            inner.append(token)

    def call_rules(tokens, action):
        rules = []
        while tokens:
            name = tokens.pop(0)
            if name == ",":
                continue
            names = None
            if name == "SYSCALL":
                tokens.pop(0)
                sign = -1 if tokens[0] == "-" and tokens.pop(0) else 1
                nr = number(tokens.pop(0), sign)
                tokens.pop(0)
            elif name in defines:
                nr = defines[name]
            elif name in numbers(native):
                nr = numbers(native)[name]
            else:
                raise Refused(name)
            known = widths(native).get(name, [])
            if tokens and tokens[0] == "(":
                end = tokens.index(")")
                names = [t for t in tokens[1:end] if t != ","]
                del tokens[:end + 1]
            labels = names or [label for label, _ in known]
            bits = [known[i][1] if i < len(known) else 64 for i in range(6)]
            expression = None
            if tokens and tokens[0] == "{":
                expression = compile_(block(tokens), labels, bits)
            rules.append((nr, expression, action))
        return rules

    def compile_(tokens, labels, bits):
        if any(t in labels and u in ("&", "==", "!=", "<", ">", "<=", ">=") and v in labels
               for t, u, v in zip(tokens, tokens[1:], tokens[2:])) or \
           any(t in ("==", "!=", "<", ">", "<=", ">=") and u in labels for t, u in zip(tokens, tokens[1:])):
            raise Refused("two arguments")
        words = {"&&": "and", "||": "or", ",": "or", "!": "not"}
        values, parts = {}, []
        for token in tokens:
            if token in labels:
                index = labels.index(token)
                parts.append(f"(args[{index}] & {2**bits[index] - 1})")
                values.setdefault(index, set())
            elif re.fullmatch(r"\w+", token):
                parts.append(str(number(token)))
                for index in values:
                    values[index].add(number(token))
            else:
                parts.append(words.get(token, token))
        return eval("lambda args: " + " ".join(parts)), values  # pylint: disable=eval-used

    def statements(tokens):
        rules = []
        while tokens:
            if tokens[0] in (",", ";"):
                tokens.pop(0)
            elif tokens[0] == "USE":
                tokens.pop(0)
                while True:
                    rules += policies[tokens.pop(0)]
                    if not (tokens and tokens[0] == ","):
                        break
                    tokens.pop(0)
                    if tokens[0] == "USE":
                        break
            else:
                action = action_of(tokens)
                rules += call_rules(block(tokens), action)
        return rules

    main, default = None, KILL_THREAD

    def run(tokens, depth):
        nonlocal main, default
        if depth > 20:
            raise Refused("includes itself")
        while tokens:
            if tokens[0] == ";":
                tokens.pop(0)
            elif tokens[0] == "#define":
                name, value = tokens[1], tokens[2]
                del tokens[:3]
                defines[name] = -number(tokens.pop(0)) if value == "-" else number(value)
            elif tokens[0] == "#include":
                path = tokens[1].strip('"')
                del tokens[:2]
                run(kafel_tokens(include(path)), depth + 1)
            elif tokens[0] == "POLICY":
                name = tokens[1]
                del tokens[:2]
                policies[name] = statements(block(tokens))
            else:
                end = tokens.index("DEFAULT") if "DEFAULT" in tokens else len(tokens)
                main = statements(tokens[:end])
                rest = tokens[end + 1:]
                if rest:
                    default = action_of(rest)
                tokens.clear()

    run(kafel_tokens(text), 0)
    if main is None:
        raise Refused("no USE")

    def decide(arch, nr, args):
        for number_, expression, action in main:
            is_x32 = number_ >= X32
            if number_ == nr and is_x32 == (arch == "x32") and (expression is None or expression[0](args)):
                return action
        return default

    def interesting(_, nr):
        values = {}
        for number_, expression, _ in main:
            for index, some in (expression[1] if number_ == nr and expression else {}).items():
                values.setdefault(index, set()).update(some)
        return values

    return Reading(with_x32(native), decide, interesting, bad_arch=KILL_THREAD)


def read_systemd(text, native="x86_64", **_):
    text = re.sub(r"\\\n(?:[ \t]*[#;][^\n]*\n)*", " ", text)
    listed, mode, denied, only, section = {}, None, KILL, set(), ""

    def answer(word):
        if word == "kill":
            return KILL
        value = constants(native).get(word) if word.startswith("E") else int(word) if word.isdigit() else None
        return None if value is None else errno(value)

    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        if not line or line[0] in "#;[" or section not in ("", "[Service]", "[Socket]", "[Mount]", "[Swap]"):
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "SystemCallErrorNumber":
            denied = KILL if value in ("", "kill") else answer(value)
        elif key == "SystemCallArchitectures":
            only = set() if not value else only | {
                {"native": native, "x86-64": "x86_64", "x86": "i386"}.get(word, word) for word in value.split()}
        elif key == "SystemCallFilter":
            if not value:
                listed, mode = {}, None
                continue
            invert = value.startswith("~")
            words = value.lstrip("~").split()
            if mode is None:
                mode = "deny" if invert else "allow"
                if mode == "allow":
                    words = ["@default"] + words
            for word in words:
                name, _, error = word.partition(":")
                own = answer(error) if error else None
                if error and (own is None or not invert):
                    continue
                for call in group(name) if name.startswith("@") else {name} & all_names():
                    if invert == (mode == "deny"):
                        listed[call] = own
                    else:
                        listed.pop(call, None)
    if mode is None:
        raise Refused("no SystemCallFilter=")
    machine = {"x86_64": ["x86_64", "i386", "x32"], "aarch64": ["aarch64", "arm"]}.get(native, [native])
    arches = [arch for arch in machine if not only or arch in only]

    def decide(arch, nr, args):
        names = [name for name, number in numbers(arch).items() if number == nr]
        if not names:
            return ALLOW if mode == "deny" else errno(ENOSYS)
        mine = [name for name in names if name in listed]
        if mode == "allow":
            return ALLOW if mine else denied
        if mine:
            return denied if listed[mine[0]] is None else listed[mine[0]]
        for through, table in (("socketcall", {n: i + 1 for i, n in enumerate(SOCKETCALL)}), ("ipc", IPC)):
            if arch in MULTIPLEXED and through in names:
                for name, number in table.items():
                    if name in listed and args[0] & 0xffffffff == number:
                        return denied if listed[name] is None else listed[name]
        return ALLOW

    def interesting(arch, nr):
        multiplexers = {numbers(arch).get("socketcall"), numbers(arch).get("ipc")} - {None}
        return {0: set(range(26))} if nr in multiplexers else {}

    return Reading(arches, decide, interesting, bad_arch=KILL_THREAD if only else ALLOW)
