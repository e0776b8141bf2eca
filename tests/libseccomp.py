"""Filters as libseccomp writes them for a container runtime's profile."""

import ctypes
import tempfile

_LIBRARY = ctypes.CDLL("libseccomp.so.2")
_ATTRIBUTE_OPTIMIZE = 8
_ACTIONS = {"SCMP_ACT_KILL": 0, "SCMP_ACT_KILL_THREAD": 0, "SCMP_ACT_KILL_PROCESS": 0x80000000,
            "SCMP_ACT_TRAP": 0x30000, "SCMP_ACT_ERRNO": 0x50000, "SCMP_ACT_TRACE": 0x7ff00000,
            "SCMP_ACT_LOG": 0x7ffc0000, "SCMP_ACT_ALLOW": 0x7fff0000, "SCMP_ACT_NOTIFY": 0x7fc00000}
_OPERATORS = ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"]
# -EEXIST: the rule is there already; -EINVAL, -EDOM: the call does not exist on an ABI. Runtimes go on.
_TOLERATED = {0, -17, -22, -33}


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


_LIBRARY.seccomp_init.argtypes = [ctypes.c_uint32]
_LIBRARY.seccomp_init.restype = ctypes.c_void_p
_LIBRARY.seccomp_release.argtypes = [ctypes.c_void_p]
_LIBRARY.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
_LIBRARY.seccomp_arch_resolve_name.restype = ctypes.c_uint32
_LIBRARY.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
_LIBRARY.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
_LIBRARY.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
_LIBRARY.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
                                            ctypes.POINTER(_Comparison)]
_LIBRARY.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]


def _action(holder, name, errno):
    value = _ACTIONS[holder[name]]
    return value | holder.get(errno, 1) if value in (0x50000, 0x7ff00000) else value


def _alternatives(arguments):
    """Runtimes join conditions by "and", but by "or" where two ask for the same argument."""
    indices = [argument["index"] for argument in arguments]
    return [arguments] if len(set(indices)) == len(indices) else [[argument] for argument in arguments]


def build(profile, arches=(), level=1):
    """The bytes of the filter for the native ABI and `arches`; level 2 searches numbers by a tree."""
    default = _action(profile, "defaultAction", "defaultErrnoRet")
    context = _LIBRARY.seccomp_init(default)
    try:
        for arch in arches:
            assert _LIBRARY.seccomp_arch_add(context, _LIBRARY.seccomp_arch_resolve_name(arch.encode())) in (0, -17)
        assert _LIBRARY.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, level) == 0
        for rule in profile["syscalls"]:
            action = _action(rule, "action", "errnoRet")
            for name in rule["names"]:
                number = _LIBRARY.seccomp_syscall_resolve_name(name.encode())
                if number == -1 or action == default:
                    continue
                for conditions in _alternatives(rule.get("args") or []):
                    array = (_Comparison * 6)(*((c["index"], _OPERATORS.index(c["op"]) + 1, c["value"], c.get("valueTwo", 0))
                                                for c in conditions))
                    assert _LIBRARY.seccomp_rule_add_array(context, action, number, len(conditions), array) in _TOLERATED
        with tempfile.TemporaryFile() as file:
            assert _LIBRARY.seccomp_export_bpf(context, file.fileno()) == 0
            file.seek(0)
            return file.read()
    finally:
        _LIBRARY.seccomp_release(context)
