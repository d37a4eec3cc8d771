"""The tests that PROTOCOL.md cites for its promises are there, and each promise cites one."""

import re
import unittest
from pathlib import Path

CITATION = re.compile(r"`(\S+_test\.(?:c|py)): (\w+)`")


def root():
    return Path(__file__).absolute().parents[1]


class PromisesTest(unittest.TestCase):

    def setUp(self):
        page = (root() / "proto/wire/PROTOCOL.md").read_text(encoding="utf-8")
        self.promises = [line for line in page.partition("## 12. Promises")[2].splitlines()
                         if line.startswith("- ")]

    def test_each_promise_cites_a_test(self):
        self.assertGreater(len(self.promises), 20)
        for promise in self.promises:
            with self.subTest(promise[:60]):
                self.assertRegex(promise, CITATION)

    def test_each_cited_test_is_there(self):
        for file, name in CITATION.findall("\n".join(self.promises)):
            with self.subTest(name):
                source = (root() / file).read_text(encoding="utf-8")
                self.assertTrue(
                    re.search(rf"(?m)^(TEST\({name}\)|    def {name}\(self)", source),
                    f"{file} has no {name}")


if __name__ == "__main__":
    unittest.main()
