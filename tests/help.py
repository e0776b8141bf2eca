"""What `callgate --help` and `callgate VERB --help` say, for the tests of pages and completions."""

import os
import re
import subprocess
from typing import NamedTuple, Optional


class Option(NamedTuple):
    letter: Optional[str]  # "f" of -f
    name: str              # "format" of --format
    value: Optional[str]   # "FORMAT"; None: takes no value

    def words(self):
        """The words that complete to it."""
        return {f"--{self.name}"} | ({f"-{self.letter}"} if self.letter else set())


OPTION = re.compile(r"^\s+(?:-(\w), )?\s*--([a-z][a-z0-9-]*)(?: ([A-Z]+))?(?=\s|$)")


def parse_overview(text):
    """The verbs of the overview, in its order."""
    return re.findall(r"^  ([a-z]+) {2,}\S", text, re.MULTILINE)


def parse_options(text):
    """The options below the line "options:" (help) or of a rendered man page."""
    found = set()
    for line in text.splitlines():
        match = OPTION.match(line)
        if match:
            found.add(Option(*match.groups()))
    return found


def ask(*arguments):
    done = subprocess.run([os.environ["CALLGATE"], *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def verbs():
    found = parse_overview(ask("--help"))
    assert len(found) >= 7, found
    return found


def options(verb):
    found = parse_options(ask(verb, "--help").split("\noptions:\n")[1])
    assert Option("h", "help", None) in found, found
    return found
