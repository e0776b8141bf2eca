"""Every #include of the tree is an arrow that tests/layers.txt allows."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def read_table(text):
    """{"src/abi": {"base"}, …} from the text of layers.txt."""
    table = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line:
            folder, allowed = line.split(":")
            table[folder] = set(allowed.split())
    return table


def layer_of_header(name, table):
    """The layer a header belongs to, None if it is not the project's."""
    first = name.split("/")[0]
    if first == "callgate":
        return "include"
    if "/" in name and (f"src/{first}" in table or first in table):
        return first
    return None


def violations(path, text, table):
    """What is wrong with the includes of one file; `path` is relative to the root."""
    folder = "/".join(path.split("/")[:2]) if path.startswith("src/") else path.split("/")[0]
    if folder not in table:
        return [f"{path}: {folder} is not in tests/layers.txt"]
    allowed = table[folder] | {folder.removeprefix("src/")}
    if path.rsplit(".", 1)[0].endswith("_test"):
        allowed |= table["*_test"]
    found = []
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start(1)) + 1
        kind, name = match.groups()
        if kind == '"' and name.startswith("."):
            found.append(f'{path}:{line}: "{name}" is relative; name the folder')
        layer = layer_of_header(name, table)
        if layer is not None and layer not in allowed:
            found.append(f"{path}:{line}: {folder} may not include {layer} ({name})")
    return found


class Violations(unittest.TestCase):
    TABLE = read_table("src/base:\nsrc/abi: base\nsrc/cli: include\ninclude:\n"
                       "testing: abi\n*_test: testing  # why\n")

    def check(self, path, text, expected):
        self.assertEqual(violations(path, text, self.TABLE), expected)

    def test_arrow_down_is_allowed(self):
        self.check("src/abi/a.cc", '#include "abi/b.h"\n#include <vector>\n#include "base/e.h"\n', [])

    def test_arrow_up_is_found(self):
        self.check("src/base/a.h", '#pragma once\n\n# include "abi/b.h"\n',
                   ["src/base/a.h:3: src/base may not include abi (abi/b.h)"])

    def test_public_header_is_a_layer_in_either_kind_of_quotes(self):
        self.check("src/abi/a.cc", "#include <callgate/policy.h>\n",
                   ["src/abi/a.cc:1: src/abi may not include include (callgate/policy.h)"])
        self.check("src/cli/a.cc", '#include "callgate/policy.h"\n', [])

    def test_only_tests_see_testing(self):
        self.check("src/abi/a_test.cc", '#include "testing/gen.h"\n', [])
        self.check("src/abi/a.cc", '#include "testing/gen.h"\n',
                   ["src/abi/a.cc:1: src/abi may not include testing (testing/gen.h)"])

    def test_relative_include_is_found(self):
        self.check("src/abi/a.cc", '#include "../base/e.h"\n',
                   ['src/abi/a.cc:1: "../base/e.h" is relative; name the folder'])

    def test_folder_without_a_line_is_found(self):
        self.check("src/new/a.cc", "", ["src/new/a.cc: src/new is not in tests/layers.txt"])

    def test_system_header_in_a_folder_is_not_ours(self):
        self.check("src/base/a.cc", '#include <linux/seccomp.h>\n#include "fmt/format.h"\n', [])


class Tree(unittest.TestCase):
    def test_every_include_is_allowed(self):
        table = read_table((ROOT / "tests/layers.txt").read_text())
        found = []
        files = 0
        for top in ("src", "include", "testing", "tests", "fuzz", "bench", "examples"):
            for path in sorted((ROOT / top).rglob("*")):
                if path.suffix in (".h", ".cc", ".c", ".def", ".inc"):
                    files += 1
                    found += violations(str(path.relative_to(ROOT)), path.read_text(), table)
        self.assertGreater(files, 10)
        self.assertEqual(found, [], "\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main()
