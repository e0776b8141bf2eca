"""The runner of documentation examples notices what is wrong (examples.py)."""

import pathlib
import stat
import tempfile
import unittest

import examples

# Stands in for callgate: accepts a policy unless it holds "bad", and then says so.
CHECKER = """#!/bin/sh
if grep -q bad "$2"; then echo "$2: error"; exit 2; fi
"""


class Runner(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.callgate = pathlib.Path(self.directory.name) / "callgate"
        self.callgate.write_text(CHECKER)
        self.callgate.chmod(self.callgate.stat().st_mode | stat.S_IXUSR)

    def run_text(self, text):
        return examples.Page("page.md", self.callgate).run(examples.markdown_blocks(text))

    def expect_pass(self, text, ran=1):
        page = self.run_text(text)
        self.assertEqual(page.failures, [])
        self.assertEqual(page.ran, ran)

    def expect_failure(self, text, *parts):
        page = self.run_text(text)
        self.assertEqual(len(page.failures), 1, page.failures)
        for part in parts:
            self.assertIn(part, page.failures[0])

    def test_output_as_written_passes(self):
        self.expect_pass("```console\n$ echo a; echo b >&2\na\nb\n\n$ true\n```\n", ran=2)

    def test_wrong_output_fails_with_both(self):
        self.expect_failure("x\n```console\n$ echo a\nb\n```\n", "page.md:3:", "\nb\n", "\na\n")

    def test_missing_and_surplus_output_fail(self):
        self.expect_failure("```console\n$ true\na\n```\n", "page.md:2:")
        self.expect_failure("```console\n$ echo a\n```\n", "page.md:2:")

    def test_exit_status_is_compared(self):
        self.expect_pass("```console\n$ exit 3  # exit 3\n```\n")
        self.expect_failure("```console\n$ exit 3\n```\n", "got (exit 3)")
        self.expect_failure("```console\n$ true  # exit 3\n```\n", "got (exit 0)")

    def test_wildcards_match_within_their_reach(self):
        self.expect_pass("```console\n$ printf 'pid 41 ok\\na\\nb\\nend\\n'\npid … ok\n...\nend\n```\n")
        self.expect_failure("```console\n$ printf 'pid 41 no\\n'\npid … ok\n```\n", "page.md:2:")
        self.expect_failure("```console\n$ printf 'a.c\\n'\na+c\n```\n", "page.md:2:")

    def test_continued_command_is_one_command(self):
        self.expect_pass("```console\n$ printf '%s\\n' \\\n    one\none\n```\n")

    def test_policy_must_be_accepted_or_refused_as_labelled(self):
        self.expect_pass("```cg\nread\n```\n")
        self.expect_pass("```cg fails\nbad\n```\n")
        self.expect_failure("```cg\nbad\n```\n", "accepted in silence")
        self.expect_failure("```cg fails\nread\n```\n", "must be refused")

    def test_named_policy_is_there_for_commands(self):
        self.expect_pass("```cg app.cg\nread\n```\n```console\n$ cat app.cg\nread\n```\n", ran=2)

    def test_file_is_there_for_commands(self):
        self.expect_pass("```file a.py\nprint(7)\n```\n```console\n$ python3 a.py\n7\n```\n", ran=2)
        self.expect_failure("```file\nx\n```\n", "label 'file'")

    def test_setup_is_parsed_and_its_targets_exist(self):
        self.expect_pass("```sh\nmake test\n```\n")
        self.expect_failure("```sh\nmake tset\n```\n", "no target 'tset'")
        self.expect_failure("```sh\nif\n```\n", "syntax error")

    def test_unknown_label_fails(self):
        self.expect_failure("```\nx\n```\n", "label ''")
        self.expect_failure("```bash\nx\n```\n", "label 'bash'")
        self.expect_failure("```cg fales\nx\n```\n", "not understood")

    def test_text_is_left_alone(self):
        self.expect_pass("```text\n$ exit 1\n```\n", ran=0)

    def test_unclosed_block_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "line 1: this block is never closed"):
            examples.markdown_blocks("```cg\nread\n")

    def test_display_of_a_man_page_is_an_example(self):
        blocks = examples.man_blocks('.Sh X\n.\\" example: console\n.Bd -literal -offset indent\n'
                                     "$ echo a\\eb \\(-> c\n.Ed\n.Bd -literal\nx\n.Ed\n")
        self.assertEqual(blocks, [examples.Block(4, "console", "$ echo a\\b → c\n"),
                                  examples.Block(7, "", "x\n")])


if __name__ == "__main__":
    unittest.main()
