"""docs/CLIENT.md shows what is built and run, and its commands, and those of baton.h, work.

A block of C or C++ must stand, line for line, indentation aside, in one of the examples. The lines
of a shell block are run in a folder that looks like the root of the project after the build, except
those that say "not run".
"""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import harness
from example_case import ExampleTest

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND_S = 120
SANITIZERS = {"__asan_init": "address,undefined", "__tsan_init": "thread"}


def root():
    """The sources as this test sees them."""
    tree = Path(os.environ.get("TEST_SRCDIR", "/nonexistent"),
                os.environ.get("TEST_WORKSPACE", "baton"))
    return tree if tree.is_dir() else Path(__file__).absolute().parents[2]


def archive():
    """libbaton.a."""
    return next(path for path in (root() / "client/libbaton.a",
                                  root() / "bazel-bin/client/libbaton.a") if path.is_file())


def examples():
    """The text of each example by its name."""
    folder = root() / "docs/examples"
    return {path.name: path.read_text() for path in (*folder.glob("*.c"), *folder.glob("*.cc"))}


def lines_of(text):
    """Its lines without their indentation."""
    return [line.strip() for line in text.splitlines()]


def has_block(program, block):
    """Whether the lines of `block` stand in `program`, one after the other."""
    lines, wanted = lines_of(program), lines_of(block)
    return any(lines[i:i + len(wanted)] == wanted
               for i in range(len(lines) - len(wanted) + 1))


def sanitizer_flags():
    """What must be said to link with an archive that was built for a sanitizer."""
    symbols = subprocess.run(["nm", archive()], check=True, capture_output=True).stdout.decode()
    return [f"-fsanitize={names}" for symbol, names in SANITIZERS.items() if symbol in symbols]


class TourTest(unittest.TestCase):

    def setUp(self):
        self.blocks = BLOCK.findall((root() / "docs/CLIENT.md").read_text())
        self.examples = examples()

    def test_there_is_something_to_look_at(self):
        self.assertGreater(len(self.blocks), 25)
        self.assertGreater(len(self.examples), 15)

    def test_every_piece_of_c_is_part_of_an_example(self):
        for language, block in self.blocks:
            self.assertIn(language, ("c", "cpp", "sh"))
            if language == "sh":
                continue
            with self.subTest(block=block):
                self.assertTrue(any(has_block(program, block)
                                    for program in self.examples.values()))

    def test_the_program_of_the_manual_page_is_an_example(self):
        page = (root() / "docs/man/baton.3").read_text()
        block = re.search(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", page, re.MULTILINE | re.DOTALL)[1]
        self.assertTrue(has_block(self.examples["publish.c"], block.replace("\\e", "\\")))

    def test_every_example_is_run(self):
        folder = root() / "docs/examples"
        tests = "".join(path.read_text() for path in folder.glob("*_test.py"))
        for name in self.examples:
            self.assertIn(f'"{name.removesuffix(".c").replace(".", "_")}"', tests)

    def test_every_example_is_spoken_of(self):
        tour = (root() / "docs/CLIENT.md").read_text()
        for name in self.examples:
            self.assertIn(f"(examples/{name})", tour)

    def test_the_chat_is_short(self):
        self.assertLess(len(self.examples["chat.c"].splitlines()), 50)


class CommandTest(ExampleTest):
    """Commands that a reader types, in a copy of what the reader has."""

    def setUp(self):
        super().setUp()
        self.directory = self.tmpdir()
        for folder in ("client", "docs/examples", "bazel-bin/client"):
            (self.directory / folder).mkdir(parents=True)
        for path in (root() / "client").glob("baton*.h"):
            shutil.copy(path, self.directory / "client")
        for name, text in examples().items():
            (self.directory / "docs/examples" / name).write_text(text)
        shutil.copy(archive(), self.directory / "bazel-bin/client")

    def shell(self, command):
        """Run one; its stdout. A compiler is told, too, what the build was told."""
        words = command.split()
        if words[0] in ("cc", "c++"):
            command = " ".join([command, "-Wall", "-Wextra", "-Werror", *sanitizer_flags()])
        done = subprocess.run(["sh", "-c", command], cwd=self.directory, env=self.broker.env(),
                              capture_output=True, timeout=COMMAND_S, check=False)
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""), command)
        return done.stdout.decode()

    def test_the_commands_of_the_tour(self):
        tour = (root() / "docs/CLIENT.md").read_text()
        lines = [line for language, block in BLOCK.findall(tour) if language == "sh"
                 for line in block.splitlines() if "# not run" not in line]
        self.assertGreater(len(lines), 3)
        printed = "".join(self.shell(line) for line in lines)
        self.assertRegex(printed, r"\Asensors\.cabin\.temp 21\.5 \(.*\)\n21\.5\n\Z")

    def opening(self):
        """The program at the beginning of baton.h, and the command that builds it."""
        comment = (root() / "client/baton.h").read_text().split("*/")[0]
        lines = [re.sub(r"^ \* {0,6}", "", line) for line in comment.splitlines()]
        last = next(i for i, line in enumerate(lines) if line.startswith("} // cc "))
        first = next(i for i, line in enumerate(lines) if line.startswith("#include"))
        return "\n".join(lines[first:last + 1]) + "\n", lines[last].removeprefix("} // ")

    def test_the_program_at_the_beginning_of_baton_h(self):
        program, command = self.opening()
        (self.directory / "example.c").write_text(program)
        self.assertEqual(self.shell(command), "")
        example = self.start(str(self.directory / "a.out"))
        example.wait_line(f"sensors.cabin.temp 21.5 (uid {os.getuid()})")
        self.broker.kill()
        self.assertEqual(example.wait(), 1)
        self.assertRegex(example.err.rest().decode(), r"\A.+\n\Z")


if __name__ == "__main__":
    harness.main()
