"""What the tests of several users share. They need root, to become others, and take a network
namespace of their own, so that their abstract names are their own too. Bazel's sandbox knows one
user only: such tests run outside.
"""

import ctypes
import os
import shutil
import sys
import tempfile

import harness
from wire_case import PlaceTest
from wire_codec import Code

NOBODY, SOMEBODY = 65534, 65533
# No other test's: the kernel counts descriptors that are on their way for all processes of a user.
OWN_USER = 20000 + os.getpid() % 30000
CLONE_NEWNET = 0x40000000


def become(uid, gid=None):
    """Be somebody else from now on, in a child."""
    gid = uid if gid is None else gid
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def can_become_others():
    """Root of a user namespace that maps nobody else is not root enough."""
    if os.geteuid() or ctypes.CDLL(None).unshare(CLONE_NEWNET):
        return False
    try:
        os.seteuid(NOBODY)
        os.seteuid(0)
    except OSError:
        return False
    return True


class OtherUid(PlaceTest):
    def setUp(self):
        super().setUp()
        # Everybody must be able to reach it, and the program.
        self.directory = tempfile.mkdtemp(prefix="baton-uid-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)
        self.path = self.at("s")
        self.name = harness.new_address(self.directory)
        # `name`, as the broker is told it, so that everybody may connect.
        self.open_name = self.name + ("" if harness.KIND == "abstract" else "?mode=0666")
        self.program = shutil.copy(harness.binary("broker"), self.at("broker"))

    def serve_as(self, uid, *addresses, before=lambda: None, **options):
        """A broker of another user, in a directory of that user; `before` is called in it first."""
        def prepare():
            before()
            become(uid)

        os.chown(self.directory, uid, uid)
        return self.serve(*addresses, program=self.program, preexec_fn=prepare, **options)

    def run_as(self, uid, function, gid=None):
        """Run function() as somebody else."""
        def run(_):
            become(uid, gid)
            function()
        self.fork(run).end()

    def is_refused(self, address, uid, by=0):
        """In a child: connects, and is told why it is not wanted."""
        session = self.socket(address)
        session.send_raw(b"\x95\x01\x01\xa1x\x00\x80")     # or be cut off before that
        self.assertEqual(self.expect_bye(session, Code.REFUSED, f"uid {uid} "), [])
        self.assertIn(f"uid {by} ", session.bye_received.text + " ")

    def is_denied(self, address):
        """In a child: the file does not let it connect."""
        with self.assertRaises(PermissionError):
            self.socket(address)


def main():
    """Run the tests of the calling module, or say that they were skipped."""
    if not can_become_others():
        print("skipped: needs root, to become other users")
        sys.exit(0)
    harness.main()
