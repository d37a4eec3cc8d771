"""The library keeps nothing between handles: all that it could write to is named in state.txt.

Read from the archive, which is all of the library in one object. Constants with pointers in them
(.data.rel.ro) are written by the dynamic linker alone and read-only from then on.
"""

import re
import unittest
from pathlib import Path

import elf

STATIC = "client/libbaton.a"
HERE = Path("client/package")

CONSTANT = re.compile(r"\.data\.rel\.ro(\..*)?")
# Who runs before main or at the end of the process.
HOOKS = re.compile(r"\.(preinit_array|init_array|fini_array|ctors|dtors)(\..*)?")


def allowed():
    lines = (HERE / "state.txt").read_text().splitlines()
    return [words[0] for line in lines if (words := line.partition("#")[0].split())]


def plain(name):
    """A static variable inside a function has a number behind its name."""
    return re.sub(r"\.\d+$", "", name)


class State(unittest.TestCase):
    def setUp(self):
        self.sections = {str(section.number): section for section in elf.sections(STATIC)}
        self.writable = {number: section for number, section in self.sections.items()
                         if "W" in section.flags and not CONSTANT.fullmatch(section.name)}
        self.symbols = [symbol for symbol in elf.symbols(STATIC)
                        if symbol.kind in ("OBJECT", "TLS", "COMMON", "NOTYPE")
                        and (symbol.section in self.writable or symbol.section == "COM")
                        and not symbol.name.startswith("__odr_asan.")]
        self.is_plain = not elf.is_instrumented(STATIC)

    def test_the_archive_is_read_at_all(self):
        names = [section.name for section in self.sections.values()]
        self.assertIn(".bss", names)
        self.assertTrue(any(CONSTANT.fullmatch(name) for name in names), names)
        self.assertGreater(len(elf.symbols(STATIC)), 300)

    def test_only_what_is_allowed_can_be_written(self):
        found = {plain(symbol.name) for symbol in self.symbols if symbol.size or self.is_plain}
        self.assertEqual(sorted(found - set(allowed())), [],
                         "state of the whole process, not of a handle; put it into the handle")

    def test_what_is_allowed_is_there(self):
        found = {plain(symbol.name) for symbol in self.symbols}
        self.assertEqual(sorted(set(allowed()) - found), [], "state.txt allows what is not there")

    def test_there_is_no_such_memory_without_a_name(self):
        if not self.is_plain:
            return      # sanitizers keep their notes there
        for number, section in self.writable.items():
            named = sum(symbol.size for symbol in self.symbols if symbol.section == number)
            if not HOOKS.fullmatch(section.name) and section.size > named:
                # Between objects there are gaps, since they are aligned.
                gaps = 64 * sum(symbol.section == number for symbol in self.symbols)
                self.assertLessEqual(section.size - named, gaps, section)

    def test_nothing_runs_before_main_or_after_it(self):
        hooks = [section for section in self.sections.values()
                 if HOOKS.fullmatch(section.name) and section.size]
        if self.is_plain:
            self.assertEqual(hooks, [])


if __name__ == "__main__":
    unittest.main()
