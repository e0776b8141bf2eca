#!/usr/bin/env python3
"""The agent of OCI runtimes: what it does for containers, and what it does with all else that may come over its socket. Each container here
is a Python program that puts a filter on itself, hands the listener over as runc or crun do, and makes calls.

usage: agent_test.py CALLGATE
"""

import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import textwrap
import time

from supervised import CALLGATE, PYTHON, Supervised, main

NOBODY = 65534
ENOSYS = "38"
COMMON = """default: allow
io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)
"""
WEB = COMMON + """openat: flags has O_DIRECTORY || path under "HERE/ok"; else -> errno(EACCES)
execve: filename under "HERE/ok"; else -> errno(EACCES)
execveat: else -> errno(EACCES)
"""
OTHER = COMMON + """openat: path under "HERE/no"; else -> errno(EPERM)
"""
# argv: what it is to do, as JSON. It prints what each file it opens holds, or the errno.
CONTAINER = r"""
import array, ctypes, json, os, socket, struct, sys
todo = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
SECCOMP, OPENAT, MKDIR, EXECVE = 317, 257, 83, 59

def listen():
    notified = [OPENAT, MKDIR, EXECVE]
    code = [(0x20, 0, 0, 0)]
    code += [(0x15, len(notified) - i, 0, nr) for i, nr in enumerate(notified)]
    code += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x7fc00000)]
    text = b"".join(struct.pack("HBBI", *one) for one in code)
    filters = ctypes.create_string_buffer(text, len(text))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters))
    libc.prctl(38, 1, 0, 0, 0)
    fd = libc.syscall(SECCOMP, 1, 8 | 32, program)  # NEW_LISTENER, WAIT_KILLABLE_RECV
    assert fd >= 0, ctypes.get_errno()
    return fd

if todo["hides"]: libc.prctl(4, 0, 0, 0, 0)
page = os.open(todo["page"], os.O_RDONLY)
null, end = os.open("/dev/null", os.O_RDONLY), os.open(todo["end"], os.O_RDONLY | os.O_NONBLOCK)
runtime = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
runtime.connect(todo["socket"])
listener = listen()
descriptors = [{"listener": listener, "null": null, "socket": runtime.fileno()}[name] for name in todo["sends"]]
payload = todo["payload"].encode()
part = todo["part"] or len(payload)
try:
    for at in range(0, len(payload), part):
        rights = array.array("i", descriptors if at == 0 else [])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        sent = runtime.sendmsg([payload[at:at + part]], ancillary)
        runtime.sendall(payload[at + sent:at + part])
except BrokenPipeError:
    pass
os.close(listener)
if todo["silent"]: runtime = [runtime]
else: runtime.close()

def act(action):
    kind, _, name = action.partition(" ")
    try:
        if kind == "mkdir": os.mkdir(name)
        elif kind == "exec": os.execv(name, [name])
        elif kind == "own": return os.read(os.open("/proc/self/fd/%d" % {"page": page, "null": null}[name], os.O_RDONLY), 99).decode().strip()
        elif kind == "folder": os.close(os.open(name, os.O_RDONLY | os.O_DIRECTORY))
        else: return os.read(os.open(name, os.O_RDONLY), 99).decode().strip()
        return "done"
    except OSError as error: return str(error.errno)

for action in todo["first"]: print(act(action), flush=True)
if todo["waits"]:
    os.set_blocking(end, True)
    while not os.read(end, 1): os.sched_yield()
for action in todo["then"]: print(act(action), flush=True)
"""


def state(container="c1", metadata="web", pid=4117, fds=("seccompFd",), bundle="/bundle", **more):
    """As runc 1.1 sends it."""
    inner = {"ociVersion": "1.0.2-dev", "id": container, "status": "creating", "pid": pid, "bundle": bundle, "annotations": {"a": "b"}}
    return {"ociVersion": "1.0.2-dev", "fds": list(fds), "pid": pid, "metadata": metadata, "state": inner, **more}


class Agent(Supervised):
    def setUp(self):
        super().setUp()
        self.at.chmod(0o755)
        (self.at / "ok" / "page").write_text("page\n")
        (self.at / "ok" / "bin").write_text("no program\n")
        (self.at / "policies").mkdir()
        self.socket = self.at / "agent.sock"
        self.policy("web", WEB)
        self.policy("other", OTHER)

    def policy(self, name, text):
        (self.at / "policies" / f"{name}.cg").write_text(text.replace("HERE", str(self.at)))

    def listens(self):
        """A socket has its name before it takes connections. (proc_pid_net(5), unix: Flags, __SO_ACCEPTCON)"""
        lines = (line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines())
        return any(line[-1] == str(self.socket) and line[3] == "00010000" for line in lines)

    def agent(self, *options, prefix=(), ready=True, **more):
        self.log = self.at / f"log{time.monotonic()}"
        with open(self.log, "w") as log:
            agent = subprocess.Popen([*prefix, CALLGATE, "agent", *options, str(self.socket), str(self.at / "policies")], stderr=log,
                                     **more)
        def end():
            agent.kill()
            agent.wait()
        self.addCleanup(end)
        while ready and not self.listens():
            self.assertIsNone(agent.poll(), self.log.read_text())
            time.sleep(0.01)
        return agent

    def container(self, payload, then=(), first=(), sends=("listener",), part=0, hides=False, silent=False, waits=False, prefix=()):
        if not isinstance(payload, str):
            payload = json.dumps(payload)
        end = self.at / "end"
        if not end.exists():
            os.mkfifo(end)
            end.chmod(0o666)
        todo = {"payload": payload, "socket": str(self.socket), "first": list(first), "then": list(then), "sends": sends, "part": part,
                "hides": hides, "silent": silent, "waits": waits, "end": str(end), "page": str(self.at / "ok" / "page")}
        started = subprocess.Popen([*prefix, PYTHON, "-I", "-c", CONTAINER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, cwd="/")
        started.stdin.write(json.dumps(todo))
        started.stdin.close()
        started.stdin = None
        self.addCleanup(started.kill)
        return started

    def run_container(self, payload, then=(), **more):
        out, _ = self.finish(self.container(payload, then, **more))
        return out.split("\n")[:-1]

    def asked(self, *names):
        return [str(self.at / name) for name in names]

    def says(self, pattern, text=None):
        """Waits until the agent has said so: a match of the whole."""
        for _ in range(1000):
            found = re.search(pattern, self.log.read_text(), re.M)
            if found:
                return found
            time.sleep(0.01)
        self.fail(f"{pattern} is not in\n{self.log.read_text()}")

    def assert_refused(self, payload, says, **more):
        """Its calls fail, the one line says why, and the agent goes on."""
        self.agent()
        self.assertEqual(self.run_container(payload, [" ok/page"], **more), [ENOSYS])
        self.says("^callgate: cannot serve " + re.escape(says.replace("HERE", str(self.at))) + "$")
        self.assertEqual(len(self.log.read_text().splitlines()), 1, self.log.read_text())
        self.assert_serves()

    def assert_serves(self):
        asked = [f" {name}" for name in self.asked("ok/page", "no/secret")]
        self.assertEqual(self.run_container(state("good"), asked), ["page", "13"])

    # What it is for.

    def test_policy_decides_and_denials_name_the_container(self):
        self.agent()
        page, secret = self.asked("ok/page", "no/secret")
        out = self.run_container(state("c\u202e1"), [f" {page}", f" {secret}", f" {secret}", f" {secret}"])
        self.assertEqual(out, ["page", "13", "13", "13"])
        self.says(r"2 more times in container c\\u\{202e\}1$")
        lines = self.log.read_text().splitlines()
        self.assertEqual(lines[0], rf'callgate: serves container "c\u{{202e}}1" by {self.at}/policies/web.cg')
        self.assertRegex(lines[1], r'^callgate: denied  openat\(.*"' + secret
                         + r'".*\)  → EACCES   pid \d+ \(python3\S*\) in container c\\u\{202e\}1$')
        self.assertRegex(lines[2], r"^  rule      \S+/policies/web.cg:3  else -> errno\(EACCES\)")

    def test_reports_as_json_name_the_container(self):
        self.agent("--json")
        self.assertEqual(self.run_container(state(), [f" {self.at}/no/secret"] * 2), ["13"] * 2)
        self.says("repeated")
        note, denied, repeated = (json.loads(line) for line in self.log.read_text().splitlines())
        self.assertEqual(note, {"event": "note", "message": f'serves container "c1" by {self.at}/policies/web.cg'})
        self.assertEqual((denied["event"], denied["container"], denied["outcome"]), ("denied", "c1", "EACCES"))
        self.assertEqual((repeated["event"], repeated["container"], repeated["count"]), ("repeated", "c1", 1))

    def test_calls_that_registers_allow_go_on(self):
        """The profile asks about more than the policy has to look at."""
        self.agent()
        self.assertEqual(self.run_container(state(), ["folder /etc", f"mkdir {self.at}/ok/made", " /etc/passwd"]), ["done", "done", "13"])
        self.assertTrue((self.at / "ok" / "made").is_dir())

    def test_calls_of_a_tracer_are_refused_with_a_reason(self):
        self.agent()
        self.assertEqual(self.run_container(state(), [f"exec {self.at}/ok/bin"]), ["1"])
        self.says(r"\(the caller is not traced")

    def test_own_descriptors_are_found_in_a_pid_namespace(self):
        """So runc opens the FIFO that starts the container. The rest of /proc/self has other numbers there."""
        self.agent()
        prefix = ["unshare", "--pid", "--fork"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
        out = self.run_container(state(), ["own page", "own null", " /proc/self/status", f" {self.at}/ok/page"], prefix=prefix)
        self.assertEqual(out, ["page", "13", "13", "page"])

    def test_no_metadata_means_the_default_policy(self):
        self.policy("default", OTHER)
        self.agent()
        payload = state()
        del payload["metadata"]
        for one in payload, state(metadata=""):
            asked = [f" {name}" for name in self.asked("no/secret", "ok/page")]
            self.assertEqual(self.run_container(one, asked), ["secret", "1"])

    def test_two_containers_two_policies_at_once(self):
        self.agent()
        asked = [f" {name}" for name in self.asked("ok/page", "no/secret")]
        one = self.container(state("one"), asked * 20, waits=True)
        two = self.container(state("two", "other"), asked * 20, waits=True)
        for name in "one", "two":
            self.says(f'serves container "{name}"')
        (self.at / "end").write_text("xx")
        self.assertEqual(self.finish(one)[0].split(), ["page", "13"] * 20)
        self.assertEqual(self.finish(two)[0].split(), ["1", "secret"] * 20)

    # Trap 23: what may come over the socket.

    def test_empty_connection_is_a_note(self):
        self.agent()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as runtime:
            runtime.connect(str(self.socket))
        self.says("^callgate: a connection brought nothing: a container that failed to start$")
        self.assert_serves()

    def test_long_state_in_many_segments_is_read(self):
        self.agent()
        payload = state()
        payload["state"]["annotations"] = {f"note{i}": "x" * 1000 for i in range(200)}
        for part in 0, 1000, 70000:
            self.assertEqual(self.run_container(payload, [f" {self.at}/ok/page"], part=part), ["page"])

    def test_state_without_end_is_refused(self):
        payload = state()
        payload["state"]["annotations"] = {"note": "x" * 1100000}
        self.assert_refused(payload, "a container: the runtime's state has more than 1048576 bytes; its calls that notify fail with ENOSYS")

    def test_garbage_is_refused(self):
        self.assert_refused("\x7fELF", "a container: the runtime's state, 4 bytes, is no JSON: 1:1: expected a value; its calls that "
                            "notify fail with ENOSYS; is what connected a runtime (runc 1.1 or later, crun)?")

    def test_state_that_breaks_off_is_refused(self):
        text = json.dumps(state())
        self.assert_refused(text[:-1], f"a container: the runtime's state, {len(text) - 1} bytes, is no JSON: 1:{len(text)}: the "
                            "file ends where ',' or '}' should be; its calls that notify fail with ENOSYS; is what connected a runtime (runc 1.1 or later, crun)?")

    def test_no_descriptor_is_refused(self):
        self.assert_refused(state(), 'container "c1": no descriptor came with the runtime\'s state; its calls that notify fail with '
                            "ENOSYS; is what connected a runtime (runc 1.1 or later, crun)?", sends=[])

    def test_several_descriptors_are_told_apart_by_their_names(self):
        self.agent()
        out = self.run_container(state(fds=["a", "seccompFd", "b"]), [f" {self.at}/ok/page"], sends=["null", "listener", "null"])
        self.assertEqual(out, ["page"])

    def test_several_descriptors_with_one_name_are_refused(self):
        self.assert_refused(state(), 'container "c1": "fds" has 1 names, and 3 descriptors came; its calls that notify fail with ENOSYS; '
                            "is what connected a runtime (runc 1.1 or later, crun)?", sends=["listener", "null", "null"])

    def test_names_without_the_listeners_are_refused(self):
        self.assert_refused(state(fds=["pidFd"]), 'container "c1": "fds" must name "seccompFd" once; its calls that notify fail with '
                            "ENOSYS; is what connected a runtime (runc 1.1 or later, crun)?")

    def test_descriptor_that_is_no_listener_is_refused(self):
        self.assert_refused(state(), 'container "c1": "seccompFd" is no seccomp listener; its calls that notify fail with ENOSYS; is what '
                            "connected a runtime?", sends=["null"])

    def test_unknown_policy_is_refused(self):
        self.assert_refused(state(metadata="nobody"), 'container "c1": cannot open HERE/policies/nobody.cg: No such file or directory; '
                            "its calls that notify fail with ENOSYS; put a policy there, or name another in the profile's listenerMetadata")

    def test_name_that_leaves_the_folder_is_refused(self):
        self.assert_refused(state(metadata="../policies/web"), 'container "c1": its listenerMetadata, "../policies/web", names no policy; '
                            "its calls that notify fail with ENOSYS; in the profile, use letters, digits, '-', '_' and '.'")

    def test_policy_with_an_error_is_refused(self):
        self.policy("bad", COMMON + "opnat: else -> errno(EACCES)\n")
        self.assert_refused(state(metadata="bad"), 'container "c1": HERE/policies/bad.cg:3:1: unknown system call \'opnat\'; its calls that '
                            "notify fail with ENOSYS; 'callgate check HERE/policies/bad.cg' shows all")

    def test_policy_that_asks_a_person_is_refused(self):
        self.policy("asks", COMMON + 'openat: path under "/srv"; else -> ask\n')
        self.assert_refused(state(metadata="asks"), 'container "c1": HERE/policies/asks.cg:3: \'ask\' and \'notify\' leave a call to somebody '
                            "outside, and an agent has nobody; its calls that notify fail with ENOSYS; allow the call there, or use an errno")

    def test_pid_0_is_served(self):
        """As crun's exec says it."""
        self.agent()
        asked = [f" {name}" for name in self.asked("ok/page", "no/secret")]
        self.assertEqual(self.run_container(state(pid=0, bundle="."), asked), ["page", "13"])
        self.says(r"in container c1$")

    def test_runtime_that_keeps_the_connection_open_is_served(self):
        """runc 1.1 does, and waits for the container, which waits for the agent."""
        self.agent()
        self.assertEqual(self.run_container(state(container='}"\\'), [f" {self.at}/ok/page"], silent=True, part=1), ["page"])
        self.says(r'^callgate: serves container "}\\"\\\\" by ')

    def test_silent_runtime_holds_up_nobody_and_is_refused_in_the_end(self):
        self.agent()
        begin = time.monotonic()
        silent = self.container(json.dumps(state())[:20], first=[" /etc/passwd"], silent=True)
        self.assert_serves()
        self.assertLess(time.monotonic() - begin, 9)
        self.assertEqual(self.finish(silent)[0], ENOSYS + "\n")
        self.says("^callgate: cannot serve a container: its runtime had not said all within 10 s; its calls that notify fail with ENOSYS$")

    def test_bad_connections_leave_no_descriptors_behind(self):
        """There is no room for those of a hundred."""
        agent = self.agent(prefix=["prlimit", "--nofile=40:40"])
        for i in range(100):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as runtime, open("/dev/null") as null:
                runtime.connect(str(self.socket))
                if i % 3 != 0:
                    socket.send_fds(runtime, [b"{}" if i % 3 == 1 else json.dumps(state()).encode()], [null.fileno()] * 3)
        self.assert_serves()
        children = pathlib.Path(f"/proc/{agent.pid}/task/{agent.pid}/children")
        for _ in range(500):
            if not children.read_text(): break
            time.sleep(0.01)
        self.assertEqual(children.read_text(), "")

    def test_more_descriptors_than_it_may_have_are_refused(self):
        self.agent(prefix=["prlimit", "--nofile=40:40"])
        out = self.run_container(state(), [" /etc/passwd"], sends=["listener"] + ["null"] * 60)
        self.assertEqual(out, [ENOSYS])
        self.says("^callgate: cannot serve a container: more descriptors came than this process may have; ")
        self.assert_serves()

    # Ends.

    def test_agent_killed_is_enosys(self):
        agent = self.agent()
        waiting = self.container(state(), first=[f" {self.at}/ok/page"], then=[f" {self.at}/ok/page", " /etc/passwd"], waits=True)
        self.assertEqual(waiting.stdout.readline(), "page\n")
        agent.kill()
        agent.wait()
        (self.at / "end").write_text("x")
        self.assertEqual(self.finish(waiting)[0].split(), [ENOSYS] * 2)

    def test_agent_ends_by_signal_and_takes_its_socket_along(self):
        for number in signal.SIGTERM, signal.SIGINT:
            agent = self.agent()
            waiting = self.container(state(), first=[f" {self.at}/ok/page"], then=[f" {self.at}/ok/page"], waits=True)
            self.assertEqual(waiting.stdout.readline(), "page\n")
            agent.send_signal(number)
            self.assertEqual(agent.wait(10), 0)
            self.assertFalse(self.socket.exists())
            (self.at / "end").write_text("x")
            self.assertEqual(self.finish(waiting)[0], ENOSYS + "\n")

    def test_containers_process_killed_is_that_containers_affair(self):
        agent = self.agent()
        waiting = self.container(state("one"), first=[f" {self.at}/ok/page"], then=[f" {self.at}/ok/page"], waits=True)
        other = self.container(state("two"), first=[f" {self.at}/ok/page"], then=[f" {self.at}/ok/page"], waits=True)
        for one in waiting, other:
            self.assertEqual(one.stdout.readline(), "page\n")
        first, second = map(int, pathlib.Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split())
        os.kill(first, signal.SIGKILL)
        self.says(f"^callgate: cannot go on serving a container: its process, {first}, was killed by signal 9; its calls that notify fail "
                  "with ENOSYS$")
        (self.at / "end").write_text("xx")
        self.assertEqual(sorted(self.finish(one)[0] for one in (waiting, other)), [ENOSYS + "\n", "page\n"])

    # The socket.

    def test_socket_is_the_owners_alone(self):
        self.agent()
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)

    def assert_fails(self, says):
        agent = self.agent(ready=False)
        self.assertEqual(agent.wait(10), 125)
        self.assertEqual(self.log.read_text(), f"callgate agent: {says}\n")

    def test_live_socket_is_not_taken(self):
        self.agent()
        first = self.log
        self.assert_fails(f"cannot listen on {self.socket}: somebody listens there already; end that agent, or name another path")
        self.log = first
        self.assert_serves()

    def test_stale_socket_is_replaced(self):
        agent = self.agent()
        agent.kill()
        agent.wait()
        self.assertTrue(self.socket.exists())
        self.agent()
        for _ in range(500):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as runtime:
                if runtime.connect_ex(str(self.socket)) == 0: break
            time.sleep(0.01)
        self.assert_serves()

    def test_file_that_is_no_socket_is_not_touched(self):
        self.socket.write_text("precious")
        self.assert_fails(f"cannot listen on {self.socket}: it is there and is no socket; name another path, or remove it")
        self.assertEqual(self.socket.read_text(), "precious")

    def test_folder_must_be_there(self):
        (self.at / "policies").rename(self.at / "elsewhere")
        self.assert_fails(f"cannot read policies from {self.at}/policies: No such file or directory")

    # Rights.

    def test_unprivileged_agent_refuses_whom_it_cannot_read(self):
        prefix = []
        if os.getuid() == 0:
            prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            self.at.chmod(0o777)
        self.agent(prefix=prefix)
        self.assertEqual(self.run_container(state(), [f" {self.at}/ok/page"], hides=True, prefix=prefix), ["1"])
        self.says(r"→ EPERM .* in container c1\n  rule .*\((the supervisor cannot read who the caller is|the supervisor has not the rights)")


if __name__ == "__main__":
    main()
