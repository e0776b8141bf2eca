"""The shells complete exactly the verbs and options of --help. Each shell runs its own file."""

import os
import pathlib
import subprocess
import unittest

import examples
import help as cli

COMPLETIONS = examples.ROOT / "completions"
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_callgate
printf '%s\\n' "${COMPREPLY[@]}"
"""
# The functions of zsh's completion system that _callgate calls, reduced to printing what they get.
ZSH = """
_call_program() { shift; "$@" }
_describe() { local array=$argv[-1]; print -rl -- ${${(P)array}%%:*} }
compadd() { print -rl -- "$@" }
_files() { print -rl -- FILES }
_normal() { print -rl -- "COMMAND $words[CURRENT]" }
file=$1; shift
words=("$@"); CURRENT=$#
source $file
"""
FISH = "source $argv[1]; complete -C $argv[2]"


def run(command):
    environment = dict(os.environ, LC_ALL="C.UTF-8", HOME="/nonexistent",
                       PATH=f"{pathlib.Path(os.environ['CALLGATE']).parent}:{os.environ['PATH']}")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def by_bash(*words):
    return run(["bash", "--norc", "-c", BASH, "bash", COMPLETIONS / "callgate.bash", *words])


def by_zsh(*words):
    return run(["zsh", "-f", "-c", ZSH, "zsh", COMPLETIONS / "_callgate", *words])


def by_fish(*words):
    found = run(["fish", "--no-config", "-c", FISH, COMPLETIONS / "callgate.fish", " ".join(words)])
    return [line.split("\t")[0] for line in found]


SHELLS = {"bash": by_bash, "zsh": by_zsh, "fish": by_fish}


class Completions(unittest.TestCase):
    def for_each_shell(self, check):
        for name, complete in SHELLS.items():
            with self.subTest(name):
                check(complete)

    def test_verbs(self):
        expected = set(cli.verbs()) | {"help", "version"}
        self.for_each_shell(lambda complete: self.assertEqual(
            set(filter(None, complete("callgate", ""))), expected))

    def test_options_of_every_verb(self):
        for verb in cli.verbs():
            expected = set().union(*(option.words() for option in cli.options(verb)))
            long = {word for word in expected if word.startswith("--")}

            def check(complete, verb=verb, expected=expected, long=long):
                self.assertEqual({word for word in complete("callgate", verb, "--")
                                  if word.startswith("--")}, long)
                self.assertLessEqual(set(complete("callgate", verb, "-")), expected)
                self.assertLessEqual(long, set(complete("callgate", verb, "-")))
            self.for_each_shell(check)

    def test_formats_are_those_that_the_verb_names(self):
        for verb, count in (("compile", 7), ("asm", 5), ("import", 7), ("export", 7)):
            help_text = cli.ask(verb, "--help")

            def check(complete, verb=verb, count=count, help_text=help_text):
                formats = [word for word in complete("callgate", verb, "-f", "") if word]
                self.assertEqual(len(formats), count, formats)
                for name in formats:
                    self.assertRegex(help_text, rf"--format FORMAT .*\b{name}\b")
            self.for_each_shell(check)

    def test_command_after_the_separator_is_not_completed_as_an_option(self):
        def check(complete):
            words = complete("callgate", "run", "app.cg", "--", "ls", "--")
            self.assertNotIn("--status-fd", words)
            self.assertNotIn("--no-supervisor", words)
        self.for_each_shell(check)


if __name__ == "__main__":
    unittest.main()
