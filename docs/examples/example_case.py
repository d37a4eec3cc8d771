"""What the tests of the examples share: a broker, and the programs of this folder by name."""

import os
from pathlib import Path

import harness


def program(name):
    """The path of an example."""
    root = Path(os.environ.get("TEST_SRCDIR", "/nonexistent"),
                os.environ.get("TEST_WORKSPACE", "baton"))
    if not root.is_dir():           # not run by Bazel
        root = Path(__file__).absolute().parents[2] / "bazel-bin"
    return str(root / "docs/examples" / name)


class ExampleTest(harness.TestCase):
    """A test with a broker, which `example` and `begin` point the programs to."""

    def example(self, name, *arguments, status=0, **options):
        """Run an example to its end; its Result, which must have this exit status."""
        result = self.run_tool(program(name), *arguments, **options)
        self.assertEqual(result.status, status, result)
        return result

    def restart(self):
        """Start the broker again, to which a program may come back at once."""
        quiet = self.broker.expected_fds    # of the first start, when nobody could be there yet
        self.broker.start()
        self.broker.expected_fds = quiet

    def begin(self, name, *arguments, **options):
        """Start an example; it is ended with the test."""
        return self.start(program(name), *arguments, **options)
