"""Every example in README.md, docs/ and man/ is as the program behaves (examples.py)."""

import os
import re
import unittest

import examples


class Documentation(unittest.TestCase):
    maxDiff = None

    def check(self, path, blocks):
        page = examples.Page(path.relative_to(examples.ROOT), os.environ["CALLGATE"]).run(blocks)
        self.assertEqual(page.failures, [], "\n" + "\n".join(page.failures))
        return page.ran

    def test_markdown(self):
        pages = [examples.ROOT / "README.md", *sorted((examples.ROOT / "docs").glob("*.md"))]
        self.assertGreaterEqual(len(pages), 4)
        for path in pages:
            with self.subTest(path.name):
                self.check(path, examples.markdown_blocks(path.read_text()))

    def test_man_pages(self):
        pages = sorted((examples.ROOT / "man").glob("*.[157]"))
        self.assertGreaterEqual(len(pages), 3)
        for path in pages:
            with self.subTest(path.name):
                self.assertGreater(self.check(path, examples.man_blocks(path.read_text())), 0,
                                   "a man page has at least one example")

    def test_links_between_pages_lead_somewhere(self):
        for path in [*examples.ROOT.glob("*.md"), *(examples.ROOT / "docs").glob("*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
                with self.subTest(f"{path.name} -> {target}"):
                    self.assertTrue((path.parent / target).exists())


if __name__ == "__main__":
    unittest.main()
