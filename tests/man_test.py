"""The man pages: well formed, one for every verb, and with exactly the options of --help."""

import os
import re
import subprocess
import unittest

import examples
import help as cli

MAN = examples.ROOT / "man"


def lint(page):
    """What mandoc finds in a page; empty if nothing."""
    return subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], check=False,
                          capture_output=True, text=True).stdout


def render(page):
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=100", page], check=True,
                          capture_output=True, text=True).stdout
    return re.sub(".\b", "", text)


def section(text, name):
    """A section of a rendered page."""
    parts = re.split(r"^([A-Z][A-Z ]+)$", text, flags=re.MULTILINE)
    return parts[parts.index(name) + 1]


class Parsing(unittest.TestCase):
    def test_options_are_read_alike_from_help_and_page(self):
        expected = {cli.Option("f", "format", "FORMAT"), cli.Option(None, "json", None),
                    cli.Option("h", "help", None)}
        self.assertEqual(cli.parse_options("  -f, --format FORMAT      listing (default) or raw\n"
                                           "      --json               machine-readable\n"
                                           "  -h, --help               show this text\n"), expected)
        self.assertEqual(cli.parse_options("     -f, --format FORMAT\n             One of --raw\n"
                                           "     --json  Print.\n     -h, --help\n"), expected)

    def test_verbs_are_read_from_the_overview(self):
        self.assertEqual(cli.parse_overview("usage: callgate VERB\n\n  run        run a program\n"
                                            "  check      is it?\n\n'callgate VERB --help'\n"),
                         ["run", "check"])

    def test_lint_notices_a_broken_page(self):
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"callgate-broken-{os.getpid()}.1")
        with open(path, "w", encoding="utf-8") as page:
            page.write(".Dd November 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n.Bl -tag\n")
        self.addCleanup(os.unlink, path)
        self.assertNotEqual(lint(path), "")


class Pages(unittest.TestCase):
    def test_pages_are_well_formed(self):
        pages = sorted(MAN.iterdir())
        self.assertGreaterEqual(len(pages), 9)
        for page in pages:
            with self.subTest(page.name):
                self.assertEqual(lint(page), "")

    def test_references_lead_to_pages(self):
        for page in MAN.iterdir():
            for name, number in re.findall(r"^\.Xr (callgate\S*) (\d)", page.read_text(), re.M):
                with self.subTest(f"{page.name} -> {name}({number})"):
                    self.assertTrue((MAN / f"{name}.{number}").exists())


class Options(unittest.TestCase):
    def test_every_verb_has_a_page_with_its_options(self):
        verbs = cli.verbs()
        pages = {page.stem.removeprefix("callgate-") for page in MAN.glob("callgate-*.1")}
        self.assertEqual(pages, set(verbs))
        for verb in verbs:
            with self.subTest(verb):
                page = render(MAN / f"callgate-{verb}.1")
                self.assertEqual(cli.parse_options(section(page, "DESCRIPTION")), cli.options(verb))

    def test_overview_page_lists_the_verbs_in_order(self):
        listed = re.findall(r"^\.It Cm ([a-z]+)$", (MAN / "callgate.1").read_text(), re.M)
        self.assertEqual(listed, cli.verbs())


if __name__ == "__main__":
    unittest.main()
