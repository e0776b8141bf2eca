#!/usr/bin/env python3
"""The command line as a person meets it: every case is a command, the files it finds, and the whole of what it prints.

usage: cli_test.py CALLGATE
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

ALLOW_MOST = "default: errno(EPERM)\n@system-service\n"
NO_MKDIR = "default: allow\nmkdir: else -> errno(EACCES)\n"
LOG = (
    "usb 1-1: new device\n"
    'audit: type=1326 audit(17.1:1): pid=41 comm="worker" exe="/srv/worker" sig=31 arch=c000003e syscall=75 code=0x80000000\n'
    'audit: type=1326 audit(17.2:2): pid=42 comm="worker" exe="/srv/worker" sig=31 arch=c000003e syscall=75 code=0x80000000\n'
    'audit: type=1326 audit(17.3:3): pid=9 comm=612062 sig=0 arch=40000003 syscall=5 code=0x50000\n'
    'audit: type=1326 audit(17.4:4): pid=9 comm="x" sig=0 arch=c000003e syscall=999 code=0x7ffc0000\n')
WIDE_SOCKET = "20 0 0 0\n15 0 5 29\n20 0 0 10\n15 0 3 28\n20 0 0 14\n15 0 1 0\n06 0 0 80000000\n06 0 0 7fff0000\n"
# arg0.low == arg1.low: by one comparison, and by their difference.
TWO_ARGUMENTS = "20 0 0 10\n07 0 0 0\n20 0 0 18\n1d 0 1 0\n06 0 0 7fff0000\n06 0 0 80000000\n"
BITS_OF_TWO_ARGUMENTS = "20 0 0 10\n07 0 0 0\n20 0 0 18\nac 0 0 0\n15 0 1 0\n06 0 0 7fff0000\n06 0 0 80000000\n"
TOO_LONG = "read: fd in {" + ", ".join(str(2 * i) for i in range(4200)) + "}\n"


@dataclass
class Case:
    name: str
    command: list  # after `callgate`
    status: int = 0
    out: str = ""
    err: str = ""
    files: dict = field(default_factory=dict)
    stdin: str = ""
    shell: str = ""  # instead of command: a shell line in which $CALLGATE is the program


CASES = [
    # What was typed is not understood.
    Case("unknown verb", ["chek", "a.cg"], 2, err="callgate: unknown verb 'chek' (did you mean 'check'?); see 'callgate --help'\n"),
    Case("unknown option", ["check", "--jsn", "a.cg"], 2,
         err="callgate check: unknown option '--jsn' (did you mean '--json'?); see 'callgate check --help'\n"),
    Case("unknown letter", ["fmt", "-x"], 2, err="callgate fmt: unknown option '-x'; see 'callgate fmt --help'\n"),
    Case("option without its value", ["compile", "-o"], 2,
         err="callgate compile: option '-o' needs a value; see 'callgate compile --help'\n"),
    Case("no policy", ["check"], 2, err="callgate check: no policy given; see 'callgate check --help'\n"),
    Case("run without separator", ["run", "a.cg", "true"], 125,
         err="callgate run: no command given; write it after '--': callgate run POLICY -- COMMAND; see 'callgate run --help'\n"),
    Case("run without command", ["run", "a.cg", "--"], 125,
         err="callgate run: no command after '--'; see 'callgate run --help'\n"),
    Case("run without policy", ["run", "--", "true"], 125, err="callgate run: no policy given; see 'callgate run --help'\n"),
    Case("status descriptor is no number", ["run", "--status-fd", "x", "a.cg", "--", "true"], 125,
         err="callgate run: --status-fd: 'x' is no descriptor; see 'callgate run --help'\n"),
    Case("agent without folder", ["agent", "a.sock"], 125,
         err="callgate agent: give a socket's path and the folder of the policies; see 'callgate agent --help'\n"),
    Case("agent without its folder there", ["agent", "a.sock", "none"], 125,
         err="callgate agent: cannot read policies from none: No such file or directory\n"),
    Case("agent with a file for a folder", ["agent", "a.sock", "a.cg"], 125, files={"a.cg": ALLOW_MOST},
         err="callgate agent: cannot read policies from a.cg: Not a directory\n"),
    Case("agent's socket has no folder", ["agent", "none/a.sock", "."], 125,
         err="callgate agent: cannot listen on none/a.sock: No such file or directory\n"),
    Case("agent's socket has a long name", ["agent", "a" * 108, "."], 125,
         err="callgate agent: cannot listen on " + "a" * 108 + ": a socket's path has at most 107 bytes; name a shorter one\n"),
    Case("listener for a format without one", ["export", "-f", "kafel", "--listener", "/a.sock", "a.cg"], 2, files={"a.cg": ALLOW_MOST},
         err="callgate export: kafel has no listener; oci and docker have\n"),
    Case("listener with a relative path", ["export", "-f", "oci", "--listener", "a.sock", "a.cg"], 2, files={"a.cg": ALLOW_MOST},
         err="callgate export: 'a.sock' is no listener: give the absolute path of the agent's socket, without blanks and quotes\n"),
    Case("listener without a plain name", ["export", "-f", "oci", "--listener", "/a.sock", "--name", "a/b", "a.cg"], 2,
         files={"a.cg": ALLOW_MOST},
         err="callgate export: 'a/b' is no name by which an agent finds a policy: use letters, digits, '-', '_' and '.'\n"),
    Case("listener that would have to trace", ["export", "-f", "oci", "--listener", "/a.sock", "a.cg"], 2,
         files={"a.cg": "default: errno(EPERM)\nread\nexecve: filename under \"/usr\"\n"},
         err="callgate export: a.cg:3: no agent can judge execve, which only the caller itself can make: it does not trace containers; "
             "test registers only, or use 'callgate run'\n"),
    Case("listener for what runtimes need themselves", ["export", "-f", "oci", "--listener", "/a.sock", "a.cg"], 2,
         files={"a.cg": "arch: x86_64\ndefault: errno(EPERM)\nread\nwrite: fd == 1 -> return(0)\n"},
         err="callgate export: cannot export to oci: the format cannot hold this policy: SCMP_ACT_NOTIFY cannot be used for the write system "
             "call\n"),
    Case("unknown output format", ["compile", "-f", "hxe", "a.cg"], 2,
         err="callgate compile: unknown format 'hxe' (did you mean 'hex'?); see 'callgate compile --help'\n"),
    Case("several policies without --fuse", ["compile", "a.cg", "b.cg"], 2,
         err="callgate compile: one policy makes one filter; --fuse makes one of several; see 'callgate compile --help'\n"),
    Case("--json without --report", ["compile", "--json", "a.cg"], 2,
         err="callgate compile: --json and --measure belong to --report; see 'callgate compile --help'\n"),
    Case("unknown pass", ["compile", "--without", "serch", "a.cg"], 2, files={"a.cg": ALLOW_MOST},
         err="callgate compile: cannot find pass 'serch': there is none of that name; did you mean 'search'?\n"),
    Case("dump after a pass that was left out", ["compile", "--without", "masks", "--dump-after", "masks", "a.cg"], 2,
         files={"a.cg": ALLOW_MOST}, err="callgate compile: pass 'masks' was left out\n"),
    Case("profile that is none", ["compile", "--profile", "p", "a.cg"], 2, files={"a.cg": ALLOW_MOST, "p": "read 10\nread many\n"},
         err="callgate compile: cannot read profile line 2: 'read many' is not '[ABI.]CALL COUNT'\n"),
    Case("graph after a pass", ["compile", "--dump-after", "tidy", "a.cg"], 0, files={"a.cg": "arch: i386\ndefault: kill\nread\nunknown: kill\n"},
         out="n3  arch == 0x40000003 (i386) ? n2 : n0\nn2  nr == 3 (read) ? n1 : n0\nn1  allow\nn0  kill\n"),
    Case("graph drawn by dot", [], 0, files={"a.cg": ALLOW_MOST},
         # What stands in for Graphviz shows that it was asked, and with which graph.
         shell='mkdir bin && printf "#!/bin/sh\\necho \\$@; head -n 1\\n" >bin/dot && chmod +x bin/dot && PATH=$PWD/bin:$PATH && '
               '"$CALLGATE" compile -f svg -o a.svg a.cg && cat a.svg', out="-Tsvg\ndigraph filter {\n"),
    Case("graph not drawn without dot", [], 2, files={"a.cg": ALLOW_MOST}, shell='PATH=/nowhere; "$CALLGATE" compile -f svg a.cg',
         err="callgate compile: cannot draw the graph with dot: No such file or directory; it is part of Graphviz (Debian: graphviz), "
             "-f dot needs no program\n"),
    Case("layers fused are the strictest of both", [], 0,
         files={"a.cg": "default: deny\nread, write\n", "b.cg": "default: allow\nwrite: else -> kill\n",
                "ab.cg": "default: deny\nread\nwrite: else -> kill\nunknown: errno(ENOSYS)\n"},
         shell='"$CALLGATE" compile --fuse -f hex -o fused a.cg b.cg && "$CALLGATE" diff fused ab.cg >out && "$CALLGATE" diff ab.cg fused >out'),
    Case("a profile changes the filter, not what it decides", [], 0,
         files={"a.cg": "arch: x86_64\ndefault: deny\n@basic-io\nsocket: domain == AF_UNIX\nioctl: cmd == TCGETS\n", "p": "ioctl 1000 # hot\n"},
         shell='"$CALLGATE" compile --profile p a.cg | grep -n "nr == ioctl" | cut -d: -f1', out="4\n"),
    Case("name that is no C identifier", ["compile", "-f", "c", "--name", "a-b", "a.cg"], 2,
         err="callgate compile: 'a-b' is not a C identifier; see 'callgate compile --help'\n", files={"a.cg": ALLOW_MOST}),
    Case("eval without a call", ["eval", "a.cg"], 2,
         err="callgate eval: no call given; for instance 'openat(AT_FDCWD, *, O_RDONLY)'; see 'callgate eval --help'\n"),

    Case("assembly without a file", ["asm"], 2, err="callgate asm: no assembly file given; see 'callgate asm --help'\n"),
    Case("two filters to list", ["disasm", "a.bpf", "b.bpf"], 2,
         err="callgate disasm: one filter makes one listing; see 'callgate disasm --help'\n"),

    # What was given cannot be read, or says nothing that could be enforced.
    Case("missing policy", ["check", "none.cg"], 2, err="error: cannot open none.cg: No such file or directory\n"),
    Case("missing policy of run", ["run", "none.cg", "--", "true"], 125, err="error: cannot open none.cg: No such file or directory\n"),
    Case("policy is a folder", ["check", "."], 2, err="error: cannot read .: Is a directory\n"),
    Case("recursive use", ["check", "a.cg"], 2, files={"a.cg": "use \"b.cg\"\n", "b.cg": "read\nuse \"a.cg\"\n"},
         err="b.cg:2:1: error: a.cg uses itself: a.cg → b.cg → a.cg\n"
             "    use \"a.cg\"\n"
             "    ^~~~~~~~~~\n"
             "  note: remove one `use` of the chain\n"),
    Case("binary garbage", ["check", "a.cg"], 2, files={"a.cg": "read\n\x01\x02\x00garbage\n"}, err="a.cg:2:1: error: control character 0x01 in a policy\n"
             "    ???garbage\n"
             "    ^\n"
             "  note: this does not look like a policy; nothing of the file was read\n"),
    Case("too many instructions", ["compile", "a.cg"], 2, files={"a.cg": TOO_LONG}, err="callgate compile: cannot compile filter (4366 instructions): the kernel's limit is 4096; split the policy into layers\n"),
    Case("too many instructions to run", ["run", "a.cg", "--", "true"], 125, files={"a.cg": TOO_LONG}, err="callgate: cannot compile filter (4366 instructions): the kernel's limit is 4096; split the policy into layers\n"),
    Case("call that is no call", ["eval", "a.cg", "opnat(1)"], 2, files={"a.cg": ALLOW_MOST}, err="callgate eval: cannot read the call 'opnat(1)': unknown system call 'opnat'; did you mean 'openat'?\n"),
    Case("formatting what cannot be read", ["fmt", "a.cg"], 2, files={"a.cg": "read: (fd == 1\n"}, err="a.cg:1:7: error: this '(' is never closed\n"
             "    read: (fd == 1\n"
             "          ^\n"),
    Case("not in canonical form", ["fmt", "--check", "a.cg"], 1, files={"a.cg": "sys_read:(fd==1)\n"},
         err="callgate fmt: a.cg is not in canonical form\n"),
    Case("notify without a handler", ["run", "a.cg", "--", "true"], 125, files={"a.cg": "default: allow\nmkdir: else -> notify\n"},
         err="callgate: a.cg:2: 'notify' asks a handler outside, and there is none; name its socket with --notify-fd, or use an errno\n"),

    Case("assembly with errors", ["asm", "a.s"], 2, files={"a.s": "ld [0]\njeqq #1, ok\nret #0\n"},
         err="a.s:2:1: error: unknown instruction 'jeqq'\n"
             "    jeqq #1, ok\n"
             "    ^~~~\n"
             "  note: did you mean 'jeq'?\n"),
    Case("assembly that the kernel would refuse", ["asm", "a.s"], 2, files={"a.s": "ldb [0] ; a byte\nret #0\n"},
         err="a.s:1:1: error: not allowed in seccomp filters; load an aligned word, ld [0] to ld [60]\n"
             "    ldb [0] ; a byte\n"
             "    ^~~~~~~\n"),
    Case("empty assembly", ["asm", "-"], 2, err="error: the program is empty; a filter has 1 to 4096 instructions\n"),
    Case("missing filter", ["disasm", "none.bpf"], 2, err="callgate disasm: cannot read none.bpf: No such file or directory\n"),
    Case("filter that is none", ["disasm", "a.bpf"], 2, files={"a.bpf": "hello\n"},
         err="callgate disasm: a.bpf: cannot read filter program: line 1, column 1: 'code' is not a hex number\n"),
    Case("filter that the kernel would refuse", ["disasm", "-"], 1, stdin="30 0 0 0\n6 0 0 0\n",
         out="l0:    ldb [0]\nl1:    ret #0                           ; kill_thread\n",
         err="callgate disasm: -: not a seccomp filter: instruction 0, 'ldb [0]': "
             "not allowed in seccomp filters; load an aligned word, ld [0] to ld [60]\n"),
    Case("depfile without a target", ["compile", "--depfile", "a.d", "a.cg"], 2,
         err="callgate compile: --depfile needs -o FILE; see 'callgate compile --help'\n"),
    Case("depfile names every file that was read", [], 0, files={"a b.cg": "use \"c.cg\"\nuse @base\n", "c.cg": "read\n"},
         shell='"$CALLGATE" compile -f c -o a.h --depfile a.d "a b.cg" && cat a.d', out="a.h: a\\ b.cg c.cg\n"),
    Case("every format is read back", [], 0, files={"a.cg": ALLOW_MOST},
         shell='for f in raw hex json; do "$CALLGATE" compile -f $f -o a.$f a.cg && "$CALLGATE" disasm a.$f > a.$f.s || exit; '
               '"$CALLGATE" asm -f $f a.$f.s | cmp - a.$f || exit; done; '
               '"$CALLGATE" compile -o a.s a.cg && cmp a.s a.raw.s && cmp a.s a.hex.s && cmp a.s a.json.s'),

    # Questions about filters.
    Case("diff needs two", ["diff", "a.cg"], 2, err="callgate diff: two are compared: A and B; see 'callgate diff --help'\n"),
    Case("verdicts of a filter", ["eval", "a.bpf", "socket(40)", "socket(0x100000028, 1, 0)", "socket"], 1, files={"a.bpf": WIDE_SOCKET},
         out="socket(AF_VSOCK, *, *)  → kill\n"
             "  rule      a.bpf  instruction 6\n"
             "  filter    7 instructions: 0-6\n"
             "socket(0x100000028, SOCK_STREAM, IPPROTO_IP)  → allow\n"
             "  rule      a.bpf  instruction 7\n"
             "  filter    7 instructions: 0-5 7\n"
             "socket(*, *, *)  → depends on its arguments\n"
             "  socket(0x100000028, 0, IPPROTO_IP), to the kernel socket(AF_VSOCK, 0, IPPROTO_IP)  → allow\n    rule    a.bpf  instruction 7\n"
             "  socket(AF_VSOCK, 0, IPPROTO_IP)  → kill\n    rule    a.bpf  instruction 6\n"),
    Case("verdicts of a filter that compares arguments", ["eval", "a.hex", "read(5, 5, 1)", "read(5)"], 3, files={"a.hex": TWO_ARGUMENTS},
         out="read(5, 0x5, 1)  → allow\n"
             "  rule      a.hex  instruction 4\n"
             "  filter    5 instructions: 0-4\n"
             "read(5, *, *)  → undecided: instruction 3, 'jeq x, l4, l5': too complex a function of the call\n"),
    Case("verdict of another tool's policy", ["eval", "a.json", "read", "mkdir"], 1,
         files={"a.json": '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}'},
         out="read(*, *, *)  → allow\n"
             "  rule      a.json  read\n"
             "  filter    6 instructions: 0-5\n"
             "mkdir(*, *)  → errno(EPERM)\n"
             "  rule      a.json  default errno(EPERM)\n"
             "  add       mkdir  # @file-system: access chdir chmod close creat faccessat …\n"
             "  filter    6 instructions: 0-4 7\n"),
    Case("verdict of a policy that only a supervisor keeps", ["eval", "-", "openat"], 1, stdin='openat: pathname under "/usr"\n',
         out="openat(*, *, *, *)  → look\n"
             "  rule      <stdin>:1  openat: pathname under \"/usr\"\n"
             "  filter    6 instructions: 0-5\n"),
    Case("verdict of what is nothing", ["eval", "a.hex", "read"], 2, files={"a.hex": "20 0 0 0\n"},
         err="error: a.hex: not a seccomp filter: instruction 0, 'ld [0]': the last instruction must be ret\n"),
    Case("process that is none", ["diff", "pid:0", "pid:x"], 2,
         err="error: 'pid:0' names no process; write pid:41, or ./pid:0 for a file\n"
             "error: 'pid:x' names no process; write pid:41, or ./pid:x for a file\n"),
    Case("file with the name of a process", ["diff", "./pid:1", "./pid:1"], 0, files={"pid:1": "arch: x86_64\nread\n"},
         out="./pid:1 and ./pid:1 decide every call alike, proved in N ms over x86_64, i386, x32\n"),
    Case("witness that the kernel confirms", ["diff", "--live", "a.cg", "b.cg"], 1, files={"a.cg": "mkdir: else -> errno(EACCES)\n", "b.cg": "mkdir\n"},
         out="b.cg is NOT a subset of a.cg: 1 difference, proved in N ms over x86_64, i386, x32\n"
             "  LOOSER   mkdir\n"
             "           a.cg → errno(EACCES)   b.cg → allow   witness: mkdir(NULL, 0o0) on x86_64\n"
             "           the kernel agrees\n"),
    Case("proof refuted on the kernel too", ["prove", "--live", "a.cg", "--never", "kill(*, 9)"], 1, files={"a.cg": "kill: sig == 9\n"},
         out="a.cg can allow kill(*, SIGKILL)\n"
             "  witness   kill(0, SIGKILL)  → allow\n"
             "  live      the kernel agrees\n"),
    Case("witness of another ABI is not tried", ["prove", "--live", "a.cg", "--never", "i386.mkdir"], 1, files={"a.cg": "arch: i386\nmkdir\n"},
         out="a.cg can allow i386.mkdir(*, *)\n"
             "  witness   i386.mkdir(NULL, 0o0)  → allow\n"
             "  live      not tried on the kernel: the call is not one of x86_64\n"),
    Case("prove without a statement", ["prove", "a.cg"], 2,
         err="callgate prove: nothing to prove; for instance --never 'ptrace'; see 'callgate prove --help'\n"),
    Case("proved and refuted", ["prove", "a.cg", "--never", "socket(40)", "--always", "mkdir"], 1, files={"a.cg": "mkdir: mode == 0\n"},
         out="a.cg never allows socket(AF_VSOCK, *, *): proved\n"
             "a.cg does NOT always allow mkdir(*, *)\n"
             "  witness   mkdir(NULL, 0o1)  → kill\n"),
    Case("upper half of a 32-bit argument", ["prove", "a.bpf", "--never", "socket(40)"], 1,
         # nr == 41 && arg0.low == 40 && arg0.high == 0 -> kill, else allow: compared in 64 bits.
         files={"a.bpf": WIDE_SOCKET},
         out="a.bpf can allow socket(AF_VSOCK, *, *)\n"
             "  witness   socket(0x100000028, 0, IPPROTO_IP), to the kernel socket(AF_VSOCK, 0, IPPROTO_IP)  → allow\n"),
    Case("comparison of two arguments is undecided", ["prove", "a.hex", "--never", "read"], 3,
         files={"a.hex": TWO_ARGUMENTS},
         out="undecided whether a.hex never allows read(*, *, *): instruction 3, 'jeq x, l4, l5': too complex a function of the call\n"
             "  '--z3 SECONDS' asks another prover\n"),
    Case("z3 settles a comparison of two arguments", [], 1, files={"a.hex": TWO_ARGUMENTS, "b.hex": BITS_OF_TWO_ARGUMENTS},
         shell='"$CALLGATE" prove --z3 60 a.hex --never read --always "read(5, 5)" --subset-of b.hex --equal b.hex > out; '
               'status=$?; sed "s/witness   read(.*) /witness   CALL /" out; exit $status',
         out="a.hex can allow read(*, *, *)\n"
             "  witness   CALL  → allow\n"
             "  settled by z3; undecided without it: instruction 3, 'jeq x, l4, l5': too complex a function of the call\n"
             + "".join(f"a.hex {statement}: proved\n"
                       "  settled by z3; undecided without it: instruction 3, 'jeq x, l4, l5': too complex a function of the call\n"
                       for statement in ("always allows read(5, 0x5, *)", "is a subset of b.hex", "is equal to b.hex"))),
    Case("z3 finds a difference", [], 1, files={"a.hex": TWO_ARGUMENTS, "b.hex": TWO_ARGUMENTS.replace("1d", "3d")},
         shell='"$CALLGATE" diff --z3 60 a.hex b.hex > out; status=$?; '
               'sed "s/LOOSER .*/LOOSER   CALL/; s/witness: .*/witness: CALL/" out; exit $status',
         out="b.hex is NOT a subset of a.hex: 1 difference, proved in N ms over x86_64, i386, x32\n"
             "  settled by z3; undecided without it: instruction 3, 'jeq x, l4, l5': too complex a function of the call\n"
             "  LOOSER   CALL\n"
             "           a.hex → kill   b.hex → allow   witness: CALL\n"),
    Case("z3 agrees", ["diff", "--z3", "60", "a.cg", "b.cg"], 1, files={"a.cg": "arch: x86_64\nread: fd == 3\n", "b.cg": "arch: x86_64\nread\n"},
         out="b.cg is NOT a subset of a.cg: 1 difference, proved in N ms over x86_64, i386, x32\n"
             "  z3 agrees\n"
             "  LOOSER   read(…)\n"
             "           a.cg → kill   b.cg → allow   witness: read(0, NULL, 0) on x86_64\n"),
    Case("z3 finds who has the last word too", ["prove", "--z3", "60", "a.cg", "--never", "mkdir"], 3, files={"a.cg": "mkdir: else -> notify\n"},
         out="undecided whether a.cg never allows mkdir(*, *): for mkdir(NULL, 0o0) the filter says notify, and who answers "
             "that decides\n"
             "  z3 agrees\n"),
    Case("z3 is not there", [], 2, files={"a.cg": "read\n"}, shell='PATH=/nowhere "$CALLGATE" diff --z3 9 a.cg a.cg',
         err="callgate diff: cannot run z3: it is in no folder of PATH; install it (on Debian the package z3), or ask without it\n"),
    Case("z3 is too slow", [], 0, files={"a.cg": "read\n", "z3": "#!/bin/sh\nexec sleep 99\n"},
         shell='chmod +x z3; PATH=.:$PATH "$CALLGATE" prove --z3 1 a.cg --equal a.cg',
         out="a.cg is equal to a.cg: proved\n"
             "  z3 found no answer in 1 s\n"),
    Case("z3 contradicts", [], 2, files={"a.cg": "read\n", "b.cg": "write\n", "z3": "#!/bin/sh\necho unsat\n"},
         shell='chmod +x z3; PATH=.:$PATH "$CALLGATE" diff --z3 9 a.cg b.cg; PATH=.:$PATH "$CALLGATE" prove --z3 9 a.cg --never read',
         err="callgate diff: z3 contradicts callgate about a.cg and b.cg; one of the two is wrong, please report it\n"
             "callgate prove: z3 contradicts callgate about read(*, *, *); one of the two is wrong, please report it\n"),
    Case("z3 lies about a call", [], 2, files={"a.cg": "read\n", "z3": "#!/bin/sh\necho sat\nseq -f '(w%g #x00000000)' 0 15\n"},
         shell='chmod +x z3; PATH=.:$PATH "$CALLGATE" diff --z3 9 a.cg a.cg; PATH=.:$PATH "$CALLGATE" prove --z3 9 a.cg --never mkdir',
         err="callgate diff: z3 contradicts callgate about arch_0x0.syscall_0(0x0, 0x0, 0x0, 0x0, 0x0, 0x0); one of the two is wrong, "
             "please report it\n"
             "callgate prove: z3 contradicts callgate about arch_0x0.syscall_0(0x0, 0x0, 0x0, 0x0, 0x0, 0x0); one of the two is wrong, "
             "please report it\n"),
    Case("time for z3 that is none", ["diff", "--z3", "a.cg", "b.cg", "c.cg"], 2,
         err="callgate diff: --z3: 'a.cg' is no number of seconds from 1 to 86400\n"),
    Case("supervisor has the last word", ["prove", "a.cg", "--never", "mkdir"], 3, files={"a.cg": "mkdir: else -> notify\n"},
         out="undecided whether a.cg never allows mkdir(*, *): for mkdir(NULL, 0o0) the filter says notify, and who answers "
             "that decides\n"),
    Case("another errno is a difference but not looser", ["diff", "a.cg", "b.cg"], 0, files={"a.cg": "default: allow\nmkdir: else -> deny\n",
                                                                       "b.cg": NO_MKDIR},
         out="b.cg is a subset of a.cg: 1 difference, none looser, proved in N ms over x86_64, i386, x32\n"
             "  OTHER    mkdir\n"
             "           a.cg → errno(EPERM)   b.cg → errno(EACCES)   witness: mkdir(NULL, 0o0) on x86_64\n"),
    Case("filters of all formats are the policy", [], 0, files={"a.cg": ALLOW_MOST},
         shell='for f in raw hex json listing; do "$CALLGATE" compile -f $f -o a.$f a.cg; "$CALLGATE" prove a.$f --equal a.cg; done',
         out="".join(f"a.{f} is equal to a.cg: proved\n" for f in ("raw", "hex", "json", "listing"))),
    Case("filter cut short", ["diff", "a.hex", "a.hex"], 2, files={"a.hex": "20 0 0 0\n"},
         err=2 * "error: a.hex: not a seccomp filter: instruction 0, 'ld [0]': the last instruction must be ret\n"),
    Case("JSON that is no filter", ["prove", "a.json", "--never", "read"], 2, files={"a.json": "[{}]\n"},
         err="error: a.json: cannot read filter program: element 0 is not of the form {\"code\": 32, \"jt\": 0, \"jf\": 0, \"k\": 4}\n"),

    Case("a call is explained by what decides it", ["explain", "-p", "a.hex", "read(3)", "write(3)"], 1, files={"a.hex": "6 0 0 0x50001\n"},
         out="".join(f"{call}(3, *, *)  → errno(EPERM)\n  rule      a.hex  instruction 0\n  filter    1 instruction: 0\n" for call in ("read", "write"))),
    Case("a call that nothing can explain", ["explain", "read(3)"], 2,
         err="callgate explain: a call is explained by a policy: give one with -p; see 'callgate explain --help'\n"),
    Case("records of the kernel in words", ["explain", "-p", "a.cg", "-"], 0, stdin=LOG, files={"a.cg": "read\nfdatasync: fd == 1\n"},
         out="worker (pid 42, /srv/worker)  fdatasync  → kill, SIGSYS, 2 times\n"
             "  policy    depends on arguments, which the record does not tell\n"
             "  fdatasync(1)  → allow\n    rule    a.cg:2  fd == 1\n"
             "  fdatasync(0)  → kill\n    rule    a.cg:2  default kill\n"
             "a b (pid 9)  i386.open  → errno\n"
             "  policy    kill\n"
             "  rule      <built-in>  bad_arch kill\n"
             "  add       arch: x86_64, i386  # the call came over the i386 ABI; its calls need rules too\n"
             "x (pid 9)  number 999  → log\n"
             "  policy    no rule of a.cg can name it\n"),
    Case("records beside a filter and another tool's policy", [], 0, files={
        "a.cg": "default: errno(EPERM)\nread\n", "a.log": LOG.splitlines()[1] + "\n",
        "a.json": '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}\n'},
         shell='"$CALLGATE" compile -f raw -o a.bpf a.cg; for p in a.bpf a.json; do "$CALLGATE" explain -p $p a.log; done',
         out="".join(f"worker (pid 41, /srv/worker)  fdatasync  → kill, SIGSYS\n"
                     f"  policy    errno(EPERM)\n  rule      {p}:2  default errno(EPERM)\n"
                     "  add       fdatasync  # @sync: fdatasync fsync msync sync sync_file_range sync_file_range2 syncfs\n"
                     for p in ("a.bpf", "a.json"))),
    Case("log without a record", ["explain", "a.log"], 0, files={"a.log": "nothing here\n"},
         err="callgate explain: no record of a filter (type=1326) in what was read\n"),
    Case("filter that kills for -1 as a policy", ["decompile", "a.hex"], 1,
         files={"a.hex": "20 0 0 4\n15 0 5 c000003e\n20 0 0 0\n35 3 0 40000000\n15 1 0 0\n6 0 0 50001\n6 0 0 7fff0000\n6 0 0 0\n"},
         out="# not equal for unnamed numbers of x86_64: the filter says kill_thread, this policy errno(EPERM), for instance "
             "syscall_-1(0x0, 0x0, 0x0, 0x0, 0x0, 0x0)\n"
             "arch: x86_64\ndefault: errno(EPERM)\nunknown: errno(EPERM)\nbad_arch: kill_thread\nread\n"),
    Case("filter that no policy says", ["decompile", "-"], 2, stdin="20 0 0 0\n15 0 1 1\n6 0 0 0\n6 0 0 7fff0000\n",
         err="callgate decompile: <stdin>: cannot say this filter as a policy: it judges calls of any ABI by their numbers, and a policy "
             "says which ABIs it speaks for\n"),
    Case("filters of a live process", [], 0, files={"a.cg": "default: allow\nmkdir: mode == 5 -> kill\n", "b.cg": NO_MKDIR},
         shell='"$CALLGATE" run --no-supervisor a.cg b.cg -- sleep 60 & pid=$!; '
               'until "$CALLGATE" show $pid > out.cg 2> err; do [[ $((++n)) -lt 100 ]] || { cat err; exit 9; }; sleep 0.1; done; kill $pid; '
               'grep -v "^#" out.cg; grep -c "^# process [0-9]*: 1 filter, " out.cg',
         out="arch: x86_64\ndefault: allow\nunknown: errno(ENOSYS)\nbad_arch: kill\n"
             "mkdir: arg1 as u32 & 0xffff != 5 -> errno(EACCES); else -> kill\n1\n"),
    Case("no process", ["show", "x"], 2, err="callgate show: 'x' is no process id; see 'callgate show --help'\n"),
    Case("process that is gone", [], 2, shell='sleep 0 & wait; "$CALLGATE" show $! 2> err; status=$?; sed "s/process [0-9]*/process N/" err >&2; exit $status',
         err="callgate show: cannot read the filters of process N: No such process\n"),

    # The command cannot be run.
    Case("command not found", ["run", "a.cg", "--", "no-such-command"], 127, files={"a.cg": ALLOW_MOST}, err="callgate: cannot run no-such-command: command not found\n"),
    Case("command is no program", ["run", "a.cg", "--", "./a.cg"], 126, files={"a.cg": ALLOW_MOST}, err="callgate: cannot run ./a.cg: Permission denied\n"),
    Case("command is a folder", ["run", "a.cg", "--", "/"], 126, files={"a.cg": ALLOW_MOST}, err="callgate: cannot run /: Permission denied\n"),
    Case("interpreter is missing", [], 127, files={"a.cg": ALLOW_MOST, "script": "#!/no/such/interpreter\n"}, err="callgate: cannot run ./script: No such file or directory (the file is there, its interpreter is not)\n",
         shell='chmod +x script; "$CALLGATE" run a.cg -- ./script'),
    Case("audit descriptor is no number", ["run", "--audit-fd", "-1", "a.cg", "--", "true"], 125,
         err="callgate run: --audit-fd: '-1' is no descriptor; see 'callgate run --help'\n"),
    Case("audit descriptor is closed", ["run", "--audit-fd", "9", "a.cg", "--", "true"], 125, files={"a.cg": ALLOW_MOST},
         err="callgate: cannot write to audit descriptor 9: Bad file descriptor; open it in the shell: callgate run --audit-fd 3 … 3>audit.json\n"),
    Case("status descriptor is closed", ["run", "--status-fd", "9", "a.cg", "--", "true"], 125, files={"a.cg": ALLOW_MOST},
         err="callgate: cannot write to status descriptor 9: Bad file descriptor; open it in the shell: callgate run --status-fd 3 … 3>status.json\n"),

    # The program cannot do what it must.
    Case("first call denied", [], 159, files={"a.cg": "default: kill\nexit_group\n"}, err="callgate: denied  brk(brk=NULL)  → SIGSYS (kill)   pid N (true)\n"
             "  rule      a.cg:1  default kill                     (no rule mentions brk)\n"
             "  add       brk                                      # @runtime: access arch_prctl brk close exit exit_group …\n",
         shell='{ "$CALLGATE" run a.cg -- /bin/true 2> err; } 2> shell; status=$?; sed -E "s/pid [0-9]+/pid N/" err >&2; exit $status'),
    Case("inside another filter", [], 1, files={"outer.cg": "default: allow\nreboot: else -> errno(EPERM)\n", "inner.cg": NO_MKDIR}, err="callgate: denied  mkdir(pathname=\"x\", mode=0777)  → EACCES   pid N (mkdir)\n"
             "  rule      inner.cg:2  else -> errno(EACCES)\n"
             "  add       mkdir: 1; …                            # the clause at inner.cg:2 says errno(EACCES)\n"
             "mkdir: cannot create directory 'x': Permission denied\n",
         shell='"$CALLGATE" run --no-supervisor outer.cg -- "$CALLGATE" run inner.cg -- mkdir x 2>&1 | '
               'sed -E "s/pid [0-9]+/pid N/" >&2; exit ${PIPESTATUS[0]}'),
    Case("inside another supervisor", [], 125, files={"outer.cg": "default: allow\nreboot: else -> errno(EPERM)\n", "inner.cg": NO_MKDIR}, err="callgate: cannot trace the program to put the filter on: Operation not permitted (process N traces it already: strace, a debugger, or the supervisor of a 'callgate run' around this one); start it without; use --no-supervisor for the outer 'callgate run'\n",
         # The inner one is traced, and LeakSanitizer would refuse to end such a process.
         shell='ASAN_OPTIONS=detect_leaks=0 "$CALLGATE" run outer.cg -- "$CALLGATE" run inner.cg -- true 2> err; status=$?; '
               'sed -E "s/process [0-9]+/process N/" err >&2; exit $status'),

    # Standard output is closed: what could not be said is not a success.
    Case("stdout closed", [], 2, err="callgate: cannot write standard output: Bad file descriptor\n",
         shell='"$CALLGATE" --version >&-'),
    Case("stdout full", [], 2, err="callgate: cannot write standard output: No space left on device\n",
         shell='"$CALLGATE" --version > /dev/full'),
]


def run(callgate, case):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name, text in case.files.items():
            pathlib.Path(folder, name).write_text(text)
        command = ["bash", "-c", case.shell] if case.shell else [callgate, *case.command]
        done = subprocess.run(command, cwd=folder, input=case.stdin, capture_output=True, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], "CALLGATE": callgate, "LC_ALL": "C"})
        return done.returncode, re.sub(r"\bin \d+ ms\b", "in N ms", done.stdout), done.stderr


def main():
    callgate = os.path.abspath(sys.argv[1])
    failed = 0
    for case in CASES:
        got, expected = run(callgate, case), (case.status, case.out, case.err)
        if got != expected:
            failed += 1
            print(f"FAIL {case.name}")
            for what, have, want in zip(("exit status", "stdout", "stderr"), got, expected):
                if have != want:
                    print(f"  {what}: {have!r}\n  expected: {want!r}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
