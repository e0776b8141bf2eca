#!/usr/bin/env python3
"""traps.txt names tests that exist, for every trap."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAPS = 27


def tests_of_the_sources():
    """Suite.Name of every GoogleTest case, FILE:name of every Python one."""
    found = set()
    for path in [*ROOT.glob("src/**/*_test.cc"), *ROOT.glob("tests/*_test.cc")]:
        for suite, name in re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", path.read_text(), re.M):
            found.add(f"{suite}.{name}")
    for path in ROOT.glob("tests/*_test.py"):
        found |= {f"{path.name}:{name}" for name in re.findall(r"^    def (test_\w+)\(", path.read_text(), re.M)}
    return found


class Traps(unittest.TestCase):
    def test_each_has_tests_and_they_exist(self):
        known = tests_of_the_sources()
        numbers = []
        for line in (ROOT / "tests" / "traps.txt").read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            number, names = re.fullmatch(r"(\d+) [^:]+: (.+)", line).groups()
            numbers.append(int(number))
            if names.startswith("none, "):
                continue
            for name in names.split():
                self.assertIn(name, known, f"trap {number}")
        self.assertEqual(numbers, list(range(1, TRAPS + 1)))


if __name__ == "__main__":
    unittest.main()
