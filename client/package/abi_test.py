"""What compiled programs rely on is what it was: names, versions, layouts, prototypes.

Five lists must agree: what the headers declare, what baton.map names, what libbaton.so exports and
libbaton.a offers, and what abi.c prints, whose text is kept in abi.txt.
"""

import difflib
import re
import subprocess
import unittest
from pathlib import Path

import elf
import headers

HERE = Path("client/package")
SHARED = str(HERE / "libbaton.so")
STATIC = "client/libbaton.a"

# Beside the C library: what the wire is read with. libbsd in the portable build alone.
MAY_NEED = re.compile(r"(libmsgpackc|libbsd|libpthread|libc)\.so\.\d+|ld-linux.*")
SANITIZERS = re.compile(r"lib[a-z]+san\.so\.\d+|lib(m|dl|rt|gcc_s|stdc\+\+)\.so\.\d+")

HOW_TO_CHANGE = """

The ABI is not what client/package/abi.txt says.

If it was not meant: programs that are compiled already would break. Undo it.
If something was added, and nothing that existed changed (a function; a constant; a field in place
of one in `reserved`, or at the end of a struct that only the library makes): add it to abi.c, then
    bazel run //client/package:abi >client/package/abi.txt
A new function also goes into baton.map, into the node of the coming version.
If something that existed changed or went: the same, and the first number of BATON_VERSION and the
soname in client/package/BUILD (libbaton.so.0) must both become one more; baton.map then begins anew
with one node, and CHANGELOG.md says what users have to do.
"""


def read_api():
    return headers.read([Path("client", name).read_text() for name in headers.NAMES])


def read_map():
    """{node: [functions]} of baton.map, which must keep everything else local."""
    text = headers.without_comments((HERE / "baton.map").read_text())
    nodes = {}
    for name, body in re.findall(r"([\w.]+)\s*\{(.*?)\}", text, re.S):
        exports, _, hidden = body.partition("local:")
        nodes[name] = re.findall(r"(\S+);", exports.replace("global:", " "))
        if hidden.split() not in ([], ["*;"]):
            raise ValueError(f"{name} keeps {hidden.split()} local, not all")
    if len(re.findall(r"local:\s*\*\s*;", text)) != 1:
        raise ValueError("one node of baton.map must say `local: *;`")
    return nodes


def read_abi():
    return subprocess.run([HERE / "abi"], stdout=subprocess.PIPE, check=True, text=True).stdout


class TestCase(unittest.TestCase):
    def same(self, what, names, what_else, others, advice=""):
        """Two lists have the same names, each of them once."""
        for name in set(names):
            if names.count(name) > 1:
                self.fail(f"{what}: {name} is there twice")
        lacking = " ".join(sorted(set(others) - set(names)))
        more = " ".join(sorted(set(names) - set(others)))
        if lacking:
            self.fail(f"{what} lacks what {what_else} have: {lacking}{advice}")
        if more:
            self.fail(f"{what} has what {what_else} lack: {more}{advice}")


class Names(TestCase):
    def setUp(self):
        self.api = read_api()
        self.declared = self.api.functions

    def test_the_headers_are_read_as_they_are_written(self):
        self.assertGreaterEqual(len(self.declared), 50)
        marks = sum(headers.without_directives(headers.without_comments(
            Path("client", name).read_text())).count("BATON_API") for name in headers.NAMES)
        self.assertEqual(len(self.declared), marks, "a BATON_API that no function was read from")

    def test_every_declared_function_has_a_version_and_nothing_else_has(self):
        named = [name for names in read_map().values() for name in names]
        self.same("baton.map", named, "the headers", self.declared)

    def test_the_shared_library_exports_these_with_their_versions(self):
        versioned = [f"{name}@@{node}" for node, names in read_map().items() for name in names]
        self.same("libbaton.so", elf.exported(SHARED), "the nodes of baton.map", versioned)

    def test_the_archive_offers_these_and_nothing_that_could_collide(self):
        self.same("libbaton.a", elf.defined(STATIC), "the headers", self.declared)


class SharedLibrary(TestCase):
    def setUp(self):
        self.dynamic = elf.dynamic(SHARED)

    def test_its_soname_is_the_first_number_of_the_version(self):
        version = read_api().version
        self.assertEqual(self.dynamic["SONAME"], ["libbaton.so." + version.split(".")[0]])

    def test_no_function_is_of_a_version_to_come(self):
        version = [int(number) for number in read_api().version.split(".")[:2]]
        for node in read_map():
            since = [int(number) for number in re.fullmatch(r"BATON_(\d+)\.(\d+)", node).groups()]
            self.assertLessEqual(since, version, f"{node} in baton.map")
            self.assertEqual(since[0], version[0], f"{node}: a new soname begins with one node")

    def test_it_needs_little(self):
        needed = self.dynamic["NEEDED"]
        if elf.is_instrumented(SHARED):
            needed = [name for name in needed if not SANITIZERS.fullmatch(name)]
        self.assertIn("libmsgpackc", " ".join(needed))
        strange = [name for name in needed if not MAY_NEED.fullmatch(name)]
        self.assertEqual(strange, [])

    def test_it_is_hardened_and_found_by_name_alone(self):
        self.assertIn("NOW", " ".join(self.dynamic.get("FLAGS_1", [])).split())
        self.assertTrue(elf.has_segment(SHARED, "GNU_RELRO"))
        self.assertEqual({"RPATH", "RUNPATH", "TEXTREL"} & set(self.dynamic), set())


class Layout(TestCase):
    def setUp(self):
        self.text = read_abi()
        self.api = read_api()

    def printed(self, kind):
        return re.findall(rf"^{kind} (\w+)", self.text, re.M)

    def test_nothing_that_programs_were_compiled_with_has_changed(self):
        kept = (HERE / "abi.txt").read_text()
        if kept.splitlines()[0] != self.text.splitlines()[0]:
            # Sizes are those of another kind of machine; names and types are not.
            kept, self.text = [re.sub(r"^.*bytes.*$|^ +\d+ +\d+", "", text, flags=re.M)
                               for text in (kept, self.text)]
        difference = "\n".join(difflib.unified_diff(
            kept.splitlines(), self.text.splitlines(), "abi.txt", "now", n=1, lineterm=""))
        if difference:
            self.fail(f"{difference}{HOW_TO_CHANGE}")

    def test_abi_c_names_everything_that_the_headers_declare(self):
        for kind, declared in (("function", self.api.functions), ("callback", self.api.callbacks),
                               ("struct", self.api.structs), ("constant", self.api.constants)):
            self.same(f"abi.c ({kind}s)", self.printed(kind), "the headers", declared,
                      HOW_TO_CHANGE)

    def test_abi_c_names_every_field_in_its_order(self):
        for name, declared in self.api.structs.items():
            body = re.search(rf"^struct {name}:.*\n((?: .*\n)*)", self.text, re.M)[1]
            printed = re.findall(r"^ +\d+ +\d+  ([\w.]+): ", body, re.M)
            self.same(f"struct {name} in abi.c", printed, "the headers", declared, HOW_TO_CHANGE)
            self.assertEqual(printed, declared, f"struct {name} in abi.c has another order")


if __name__ == "__main__":
    unittest.main()
