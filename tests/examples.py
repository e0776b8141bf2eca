"""The examples of the documentation: found in Markdown and man pages, executed, compared.

An example is a block with a label (CONTRIBUTING.md, "Examples in the documentation"):

    console            lines "$ command" with the output that must follow; "# exit N" after a command
                       is its exit status if not 0; in output "…" stands for any text within a line,
                       a line "..." for any lines
    cg                 a policy that `callgate check` accepts without a word
    cg NAME.cg         the same, kept under that name for the commands of the page
    cg [NAME.cg] fails the same, but check refuses it
    file NAME          a file that later commands of the page find under that name
    sh                 commands that change the machine: parsed only, and a `make` target must exist
    text               no example: grammar, tables, excerpts

The blocks of one page run in order in one fresh directory.
"""

import pathlib
import re
import subprocess
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_S = 60


class Block(NamedTuple):
    line: int  # of its first line of text
    label: str
    text: str


class Step(NamedTuple):
    line: int
    command: str
    status: int
    output: list


def markdown_blocks(text):
    blocks, label, start, lines = [], None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"^```\s*(.*)$", line)
        if fence and label is None:
            label, start, lines = fence.group(1).strip(), number + 1, []
        elif fence:
            blocks.append(Block(start, label, "\n".join(lines) + "\n"))
            label = None
        elif label is not None:
            lines.append(line)
    if label is not None:
        raise ValueError(f"line {start - 1}: this block is never closed")
    return blocks


def unescape_roff(line):
    for escape, character in ((r"\&", ""), (r"\-", "-"), (r"\e", "\\"), (r"\(aq", "'"),
                              (r"\(ha", "^"), (r"\(ti", "~"), (r"\(ga", "`"), (r"\(->", "→"),
                              (r"\[->]", "→"), (r"\(..", "…"), (r"\[u2026]", "…")):
        line = line.replace(escape, character)
    return line


def man_blocks(text):
    """Displays (.Bd -literal … .Ed); the comment '.\\" example: LABEL' before one labels it."""
    blocks, label, start, lines = [], "", 0, None
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.match(r'^\.\\" example: (.*)$', line)
        if comment:
            label = comment.group(1).strip()
        elif line.startswith(".Bd -literal"):
            start, lines = number + 1, []
        elif line.startswith(".Ed") and lines is not None:
            blocks.append(Block(start, label, "\n".join(lines) + "\n"))
            label, lines = "", None
        elif lines is not None:
            lines.append(unescape_roff(line))
    return blocks


def console_steps(block):
    steps, pending = [], None
    for number, line in enumerate(block.text.splitlines(), block.line):
        if pending is not None:
            pending = pending._replace(command=pending.command + "\n" + line)
        elif line.startswith("$ "):
            pending = Step(number, line[2:], 0, [])
        elif steps:
            steps[-1].output.append(line)
        else:
            raise ValueError(f"line {number}: output before the first command")
        if pending is not None and not pending.command.endswith("\\"):
            status = re.search(r"\s+# exit (\d+)$", pending.command)
            if status:
                pending = pending._replace(command=pending.command[:status.start()],
                                           status=int(status.group(1)))
            steps.append(pending)
            pending = None
    return steps


def matches(expected, actual):
    """Whether the lines are the expected ones, with their wildcards."""
    if not expected:
        return not actual
    if expected[0] == "...":
        return any(matches(expected[1:], actual[i:]) for i in range(len(actual) + 1))
    if not actual:
        return False
    pattern = ".*".join(re.escape(part) for part in expected[0].split("…"))
    return re.fullmatch(pattern, actual[0]) is not None and matches(expected[1:], actual[1:])


class Page:
    """Runs the blocks of one page; `failures` tells what was not as written."""

    def __init__(self, name, callgate):
        self.name = name
        self.callgate = pathlib.Path(callgate)
        self.failures = []
        self.ran = 0
        self.directory = tempfile.TemporaryDirectory(prefix="callgate-docs-")
        self.policies = 0

    def fail(self, line, message):
        self.failures.append(f"{self.name}:{line}: {message}")

    def execute(self, command):
        environment = {
            "PATH": f"{self.callgate.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": self.directory.name, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "TERM": "dumb",
        }
        try:
            done = subprocess.run(["/bin/bash", "-c", command], cwd=self.directory.name,
                                  env=environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return None, f"(no end after {TIMEOUT_S} s)"
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def run_console(self, block):
        for step in console_steps(block):
            self.ran += 1
            status, output = self.execute(step.command)
            expected = step.output[:]
            while expected and not expected[-1]:
                expected.pop()  # an empty line before the next command is for the eye
            if status != step.status or not matches(expected, output.rstrip("\n").splitlines()):
                self.fail(step.line, f"$ {step.command}\n--- expected (exit {step.status})\n"
                          + "\n".join(expected) + f"\n--- got (exit {status})\n{output}")

    def run_policy(self, block, words):
        self.ran += 1
        refused = "fails" in words
        names = [word for word in words if word.endswith(".cg")]
        if set(words) - set(names) - {"fails"} or len(names) > 1:
            self.fail(block.line, f"label 'cg {' '.join(words)}' is not understood")
            return
        self.policies += 1
        name = names[0] if names else f"unnamed-{self.policies}.cg"
        (pathlib.Path(self.directory.name) / name).write_text(block.text)
        status, output = self.execute(f"callgate check {name}")
        if refused and status != 2:
            self.fail(block.line, f"must be refused, but check exits {status}:\n{output}")
        if not refused and (status != 0 or output):
            self.fail(block.line, f"must be accepted in silence; check exits {status}:\n{output}")

    def parse_setup(self, block):
        self.ran += 1
        parsed = subprocess.run(["/bin/bash", "-n"], input=block.text, text=True,
                                capture_output=True, check=False)
        if parsed.returncode != 0:
            self.fail(block.line, parsed.stderr)
        makefile = (ROOT / "Makefile").read_text()
        for target in re.findall(r"\bmake ([a-z]\w*)", block.text):
            if not re.search(rf"^(?:[\w ]+ )?{target}(?: [\w ]+)?:", makefile, re.MULTILINE):
                self.fail(block.line, f"the Makefile has no target '{target}'")

    def run(self, blocks):
        for block in blocks:
            kind, *words = block.label.split() or [""]
            if kind == "console" and not words:
                self.run_console(block)
            elif kind == "cg":
                self.run_policy(block, words)
            elif kind == "file" and len(words) == 1:
                self.ran += 1
                (pathlib.Path(self.directory.name) / words[0]).write_text(block.text)
            elif kind == "sh" and not words:
                self.parse_setup(block)
            elif kind != "text":
                self.fail(block.line, f"label '{block.label}' is not one of console, cg, file, sh, text")
        self.directory.cleanup()
        return self
