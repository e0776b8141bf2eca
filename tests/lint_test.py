#!/usr/bin/env python3
"""The verb lint: for each id a file that has the mistake and one that has not, and the whole text about the first.

usage: lint_test.py CALLGATE [--write]

tests/lint/ID.bad.* has the mistake, ID.txt is all that is said about it, ID.good.* is the same without the mistake.
--write writes the texts and the list in callgate-lint(7) anew, for review.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "lint"
CALLGATE = pathlib.Path(sys.argv[1]).resolve() if __name__ == "__main__" else None
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.cg"))
PAGE = ROOT / "man" / "callgate-lint.7"
BEGIN, END = ".Bl -tag -width Ds\n.\\\" the table of rules\n", ".\\\" end of the table\n"
HEAD = "arch: x86_64\nas_of: linux 6.12\ndefault: errno(EPERM)\n"


def lint(*arguments, cwd=CASES, stdin=""):
    return subprocess.run([CALLGATE, "lint", *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, NO_COLOR="1"))


def rule_ids():
    return {rule["id"] for rule in rules()}


def rules():
    return json.loads(lint("--sarif", "-", stdin="default: kill\n").stdout)["runs"][0]["tool"]["driver"]["rules"]


def lines_of(text):
    """One sentence a line, as mdoc(7) wants it."""
    return re.sub(r"(?<=[.:]) (?=[A-Z])", "\n", text)


def entry(rule):
    """What the manual says about a rule."""
    level = {"note": "info"}.get(rule["defaultConfiguration"]["level"], rule["defaultConfiguration"]["level"])
    fix = "\n.Pq Fl Fl fix" if rule["properties"]["canFix"] else ""
    return (f".It Cm {rule['id']} Pq {level}\n{rule['shortDescription']['text']}\n.Pp\n{lines_of(rule['fullDescription']['text'])}\n"
            f".Em Advice :\n{lines_of(rule['help']['text'])}{fix}\n")


def entries():
    return "".join(map(entry, rules()))


def write():
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + entries() + END + rest.split(END)[1])
    for bad in sorted(CASES.glob("*.bad.*")):
        done = lint(bad.name)
        (CASES / (bad.name.partition(".")[0] + ".txt")).write_text(done.stdout or done.stderr)


class Ids(unittest.TestCase):
    def test_every_id_has_both_files(self):
        for kind in ("bad", "good"):
            self.assertEqual({path.name[:6] for path in CASES.glob(f"*.{kind}.*")}, rule_ids())

    def test_a_mistake_is_told_as_written_down(self):
        for bad in sorted(CASES.glob("*.bad.*")):
            with self.subTest(bad.name):
                done = lint(bad.name)
                self.assertEqual(done.stdout, (CASES / (bad.name[:6] + ".txt")).read_text())
                self.assertEqual(done.stderr, "")
                self.assertIn(f"[{bad.name[:6]}]", done.stdout)
                fails = re.search(r": (error|warning): ", done.stdout) is not None
                self.assertEqual(done.returncode, 1 if fails else 0)

    def test_without_the_mistake_nothing_is_told_of_it(self):
        for good in sorted(CASES.glob("*.good.*")):
            with self.subTest(good.name):
                done = lint(good.name)
                self.assertEqual(done.stderr, "")
                self.assertNotIn(good.name[:6] + "]", done.stdout)
                self.assertIn(done.returncode, (0, 1))


class GoodPolicies(unittest.TestCase):
    def test_examples_are_silent(self):
        for path in sorted((ROOT / "examples").rglob("*.cg")):
            with self.subTest(path.name):
                self.assertEqual(lint(path).stdout, "")

    def test_presets_are_silent(self):
        for name in PRESETS:
            with self.subTest(name):
                self.assertEqual(lint("-", stdin=f"{HEAD}use @base\nuse @{name}\n").stdout, "")

    def test_presets_together_are_silent(self):
        text = HEAD + "".join(f"use @{name}\n" for name in PRESETS)
        self.assertEqual(lint("-", stdin=text).stdout, "")


class FalseAlarms(unittest.TestCase):
    """Each was once a finding about policies in use."""

    def assert_silent(self, rule, policy):
        self.assertNotIn(rule, lint("-", stdin=policy).stdout)

    def test_an_abi_named_only_to_be_refused_lacks_nothing(self):
        self.assert_silent("CG0701", "arch: x86_64, x32\nas_of: linux 6.12\ndefault: kill\nx86_64.read, x86_64.exit_group\n")

    def test_what_another_tool_s_policy_cannot_say_is_not_missed(self):
        profile = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                              "syscalls": [{"names": ["exit_group"], "action": "SCMP_ACT_ALLOW"}]})
        self.assert_silent("CG0703", profile)

    def test_a_successor_that_nobody_falls_back_from(self):
        self.assert_silent("CG0401", HEAD + "unknown: errno(EPERM)\nepoll_pwait, renameat, exit_group\n")

    def test_open_tree_alone_mounts_nothing(self):
        self.assert_silent("CG0511", HEAD + "open_tree, exit_group\nmount: else -> errno(EACCES)\n")
        self.assertIn("CG0511", lint("-", stdin=HEAD + "open_tree, move_mount, exit_group\nmount: else -> errno(EACCES)\n").stdout)

    def test_a_plain_zero_says_what_it_does(self):
        self.assert_silent("CG0201", HEAD + "exit_group\nmkdir: 0\n")

    def test_a_closed_multiplexer_is_a_rule(self):
        self.assert_silent("CG0202", "arch: i386\nas_of: linux 6.12\ndefault: kill\nexit_group\nsocketcall, ipc: 0\n")

    def test_bits_that_the_kernel_does_not_read_are_no_way_round(self):
        self.assert_silent("CG0102", "arch: x86_64, x32\nas_of: linux 6.12\ndefault: kill\nexit_group\n"
                                     "x86_64.personality: arg0 as u64 == 0\nx32.personality: arg0 as u32 == 0\n")


class Manual(unittest.TestCase):
    def test_page_is_the_table_of_rules(self):
        self.assertEqual(PAGE.read_text().split(BEGIN)[1].split(END)[0], entries())


class Severity(unittest.TestCase):
    POLICY = "arch: x86_64\ndefault: errno(EPERM)\nexit_group\n"  # CG0703, an info

    def test_level_decides_the_status(self):
        self.assertEqual([lint("-s", level, "-", stdin=self.POLICY).returncode for level in ("info", "warning", "error")],
                         [1, 0, 0])

    def test_unknown_level_is_a_usage_error(self):
        done = lint("--severity", "high", "-", stdin=self.POLICY)
        self.assertEqual((done.returncode, done.stderr),
                         (2, "callgate lint: 'high' is not info, warning or error; see 'callgate lint --help'\n"))

    def test_a_bad_file_does_not_hide_the_others(self):
        done = lint("missing.cg", "CG0101.bad.asm")
        self.assertEqual(done.returncode, 2)
        self.assertIn("missing.cg", done.stderr)
        self.assertIn("[CG0101]", done.stdout)


class Forms(unittest.TestCase):
    """A filter is the same filter in every form."""

    def test_raw_hex_and_json_give_the_same_findings(self):
        with tempfile.TemporaryDirectory() as folder:
            texts = set()
            for form in ("raw", "hex", "json", "listing"):
                path = pathlib.Path(folder) / "filter"
                subprocess.run([CALLGATE, "asm", "-f", form, "-o", path, CASES / "CG0301.bad.asm"], check=True)
                texts.add(lint("filter", cwd=folder).stdout)
            self.assertEqual(len(texts), 1)
            self.assertIn("[CG0301]", texts.pop())

    def test_a_filter_that_the_kernel_refuses_is_an_error(self):
        done = lint("-", stdin="20 0 0 1\n6 0 0 7fff0000\n")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("error: <stdin>: not a seccomp filter: instruction 0", done.stderr)


class Machines(unittest.TestCase):
    def test_json(self):
        found = json.loads(lint("--json", "CG0501.bad.cg").stdout)
        self.assertEqual([one["id"] for one in found], ["CG0501"])
        self.assertEqual((found[0]["severity"], found[0]["line"], found[0]["witness"], found[0]["suppressed"]),
                         ("warning", 4, "ioctl(0, TIOCSTI, 0) → allow", False))

    def test_sarif_has_what_the_standard_requires(self):
        log = json.loads(lint("--sarif", "CG0502.bad.cg", "CG0301.bad.asm", "CG0901.good.cg").stdout)
        self.assertEqual(log["version"], "2.1.0")
        run = log["runs"][0]
        rules = run["tool"]["driver"]["rules"]
        self.assertEqual(len({rule["id"] for rule in rules}), len(rules))
        for rule in rules:
            self.assertRegex(rule["id"], r"^CG\d{4}$")
            self.assertIn(rule["defaultConfiguration"]["level"], ("note", "warning", "error"))
            for part in ("shortDescription", "fullDescription", "help"):
                self.assertTrue(rule[part]["text"])
        for result in run["results"]:
            self.assertEqual(rules[result["ruleIndex"]]["id"], result["ruleId"])
            self.assertIn(result["level"], ("note", "warning", "error"))
            place = result["locations"][0]["physicalLocation"]
            self.assertRegex(place["artifactLocation"]["uri"], r"^[\w.~/@+%-]+$")
        by_id = {result["ruleId"]: result for result in reversed(run["results"])}
        region = by_id["CG0502"]["locations"][0]["physicalLocation"]["region"]
        self.assertEqual(region, {"startLine": 4, "startColumn": 8, "endLine": 4, "endColumn": 22})
        self.assertEqual(by_id["CG0301"]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "instruction 10")
        suppressed = [result["ruleId"] for result in run["results"] if result.get("suppressions") == [{"kind": "inSource"}]]
        self.assertEqual(suppressed, ["CG0508"])


class Fix(unittest.TestCase):
    def fix(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.cg"
            path.write_text(text)
            done = lint("--fix", "a.cg", cwd=folder)
            once = path.read_text()
            lint("--fix", "a.cg", cwd=folder)
            self.assertEqual(path.read_text(), once, "fixing twice changes something")
            self.assertEqual([p.name for p in pathlib.Path(folder).iterdir()], ["a.cg"])
            return done.stdout, once

    def test_what_can_be_mended_is_mended_and_comments_stay(self):
        said, text = self.fix("# A worker.\narch: x86_64\ndefault: errno(EPERM)  # fails\nunknown: errno(EPERM)\n"
                              "let spare = {1}\nsync: else -> kill_thread  # never\n"
                              "clone: clone_flags has CLONE_VM|CLONE_THREAD|CLONE_SIGHAND  # threads\n"
                              "futex, mprotect, exit  # theirs\nexit_group")
        text = re.sub(r"as_of: linux \d+\.\d+\n", "as_of: linux X\n", text)
        self.assertEqual(text, "# A worker.\narch: x86_64\ndefault: errno(EPERM)  # fails\nunknown: errno(ENOSYS)\n"
                               "as_of: linux X\nsync: else -> kill  # never\n"
                               "clone: clone_flags has CLONE_VM|CLONE_THREAD|CLONE_SIGHAND  # threads\n"
                               "futex, mprotect, exit  # theirs\nexit_group\nclone3: else -> errno(ENOSYS)\n")
        self.assertEqual(said, "")

    def test_a_suppression_without_use_is_removed_with_its_line(self):
        self.assertEqual(self.fix(HEAD + "# lint: allow CG0508 no more\nexit_group  # lint: allow CG0501 nor this\n")[1],
                         HEAD + "exit_group\n")

    def test_what_cannot_be_mended_is_told_and_left(self):
        said, text = self.fix(HEAD + "prctl\nexit_group\n")
        self.assertIn("[CG0508]", said)
        self.assertEqual(text, HEAD + "prctl\nexit_group\n")

    def test_filters_and_standard_input_are_not_rewritten(self):
        self.assertIn("--fix mends policies, not filters", lint("--fix", "CG0301.bad.asm").stderr)
        self.assertEqual(lint("--fix", "-").returncode, 2)


class Suppressions(unittest.TestCase):
    def test_above_behind_and_inside_a_statement(self):
        for text in ("# lint: allow CG0508 names threads\nprctl\n", "prctl  # lint: allow CG0508 names threads\n",
                     "prctl:\n    # lint: allow CG0508 names threads\n    1\n"):
            with self.subTest(text):
                self.assertEqual(lint("-", stdin=HEAD + text + "exit_group\n").stdout, "")

    def test_one_statement_only(self):
        said = lint("-", stdin=HEAD + "# lint: allow CG0508 here\nread\nprctl\nexit_group\n").stdout
        self.assertIn("[CG0508]", said)
        self.assertIn("[CG0901]", said)

    def test_about_the_file_from_anywhere(self):
        self.assertEqual(lint("-", stdin="arch: x86_64\ndefault: kill\nexit_group\n# lint: allow CG0703 for every kernel\n").stdout, "")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        unittest.main(argv=sys.argv[:1])
