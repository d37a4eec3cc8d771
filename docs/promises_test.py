"""The tests that the pages cite are there: PROTOCOL.md for its promises, SECURITY.md for its
threats. Each promise and each threat cites one.
"""

import re
import unittest
from pathlib import Path

CITATION = re.compile(r"`(\S+_test\.(?:c|py)): (\w+)`")
THREATS = [f"T{number}" for number in range(1, 32)]


def page(path):
    """Its text; "" if there is none."""
    path = Path(__file__).absolute().parents[1] / path
    return path.read_text(encoding="utf-8") if path.exists() else ""


class PromisesTest(unittest.TestCase):

    def setUp(self):
        text = page("proto/wire/PROTOCOL.md")
        self.promises = [line for line in text.partition("## 12. Promises")[2].splitlines()
                         if line.startswith("- ")]
        rows = [line.split(" | ") for line in page("docs/SECURITY.md").splitlines()
                if re.match(r"\| T\d+ \| ", line)]
        self.threats = {row[0][2:]: row for row in rows}

    def test_each_promise_cites_a_test(self):
        self.assertGreater(len(self.promises), 20)
        for promise in self.promises:
            with self.subTest(promise[:60]):
                self.assertRegex(promise, CITATION)

    def test_each_threat_has_a_defence_and_cites_a_test(self):
        self.assertEqual(list(self.threats), THREATS)
        for name, row in self.threats.items():
            with self.subTest(name):
                self.assertEqual(len(row), 4)
                self.assertTrue(row[1].strip() and row[2].strip())
                self.assertRegex(row[3], CITATION)

    def test_each_cited_test_is_there(self):
        for file, name in CITATION.findall("\n".join([*self.promises, page("docs/SECURITY.md")])):
            with self.subTest(name):
                self.assertRegex(page(file),
                                 rf"(?m)^((LINUX_)?TEST\({name}[,)]|    def {name}\(self)",
                                 f"{file} has no {name}")


if __name__ == "__main__":
    unittest.main()
