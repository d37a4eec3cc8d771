"""What holds between users. Needs root, to become others, and takes a network namespace of its own,
so that its abstract names are its own too. Bazel's sandbox knows one user only: this runs outside.
"""

import ctypes
import os
import shutil
import socket
import sys
import tempfile

import harness
from wire_case import PlaceTest, confirmed, status, subscribe, sync, take_deliveries
from wire_codec import Code
from wire_socket import socket_name

NOBODY, SOMEBODY = 65534, 65533
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
        self.program = shutil.copy(harness.binary("broker"), self.at("broker"))

    def serve_as(self, uid, *addresses, **options):
        """A broker of another user, in a directory of that user."""
        os.chown(self.directory, uid, uid)
        return self.serve(*addresses, program=self.program, preexec_fn=lambda: become(uid),
                          **options)

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


class Strangers(OtherUid):
    def test_a_stranger_is_refused_and_told_its_uid(self):
        self.serve(self.name, self.path + "?mode=0666")
        for address in (self.name, self.path):
            for uid in (NOBODY, SOMEBODY):
                self.run_as(uid, lambda address=address, uid=uid: self.is_refused(address, uid))
        self.assertEqual(status(self.connect(self.name))["refused_sessions"], 4)

    def test_a_stranger_cannot_connect_to_a_file_that_is_not_for_it(self):
        self.serve(self.path)
        self.run_as(NOBODY, lambda: self.is_denied(self.path))
        sync(self.connect(self.path))

    def test_the_group_of_a_file_may_connect_and_others_may_not(self):
        self.serve(f"{self.path}?mode=0660&group={SOMEBODY}")
        found = os.stat(self.path)
        self.assertEqual((oct(found.st_mode & 0o777), found.st_uid, found.st_gid),
                         (oct(0o660), 0, SOMEBODY))
        self.run_as(NOBODY, lambda: self.is_denied(self.path))
        self.run_as(NOBODY, lambda: self.is_refused(self.path, NOBODY), gid=SOMEBODY)

    def test_strangers_take_no_places(self):
        self.serve(self.name, limits={"sessions": 5, "unready": 5})
        session = self.connect(self.name)

        def many():
            opened = [self.socket(self.name) for _ in range(200)]
            for stranger in opened:
                self.expect_bye(stranger, Code.REFUSED)

        self.run_as(NOBODY, many)
        others = [self.connect(self.name) for _ in range(4)]
        self.assertEqual(status(others[0])["sessions"], 5)
        sync(session)

    def test_a_name_that_somebody_else_holds_says_who(self):
        def hold(child):
            become(NOBODY)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as holder:
                holder.bind(socket_name(self.name))
                holder.listen()
                child.say("held")
                child.hear()

        child = self.fork(hold)
        child.hear()
        self.fails(1, "--listen", self.name, said=rf"held by pid {child.pid} \(uid {NOBODY}\)")
        child.say("thanks")
        child.end()


class OtherBrokers(OtherUid):
    def test_a_users_broker_admits_root_and_itself_alone(self):
        broker = self.serve_as(NOBODY, self.name, self.path)
        root = self.connect(self.name, broker_uid=NOBODY)
        subscribe(root, "a.b")

        def publish():
            self.assertEqual(confirmed(self.connect(self.path), "a.b"), 1)

        self.run_as(NOBODY, publish)
        self.assertEqual(take_deliveries(root, 1)[0][3:5], (NOBODY, NOBODY))
        self.run_as(NOBODY, publish, gid=SOMEBODY)
        self.assertEqual(take_deliveries(root, 1)[0][3:5], (NOBODY, SOMEBODY))
        self.assertEqual(confirmed(root, "a.b"), 1)
        self.assertEqual(take_deliveries(root, 1)[0][3:5], (0, 0))
        self.run_as(SOMEBODY, lambda: self.is_refused(self.name, SOMEBODY, by=NOBODY))
        self.run_as(SOMEBODY, lambda: self.is_denied(self.path))
        self.assertEqual(status(root)["broker"]["uid"], NOBODY)
        self.assertEqual(os.stat(self.path).st_uid, NOBODY)
        root.close()
        broker.finish()

    def test_a_users_defaults_are_its_name_and_a_file_in_its_runtime_directory(self):
        name, env = f"@baton-{NOBODY}", harness.clean_env(XDG_RUNTIME_DIR=self.directory)
        broker = self.serve_as(NOBODY, name, listen=(), env=env)
        self.assertEqual(broker.listening(), [name, self.at("baton.sock")])
        broker.finish()
        broker = self.serve_as(NOBODY, name, listen=(), env=harness.clean_env())
        self.assertEqual(broker.listening(), [name])

    def test_a_users_broker_says_why_a_path_cannot_be_had(self):
        os.mkdir(self.at("roots"), 0o755)
        self.fails(1, "--listen", self.at("roots/s"), said="Permission denied",
                   program=self.program, preexec_fn=lambda: become(NOBODY))
        with open(self.at("s.lock"), "w", encoding="ascii"):
            os.chmod(self.directory, 0o1777)        # where root was first
        self.fails(1, "--listen", self.path, said="lock file|Permission denied",
                   program=self.program, preexec_fn=lambda: become(NOBODY))


if __name__ == "__main__":
    if not can_become_others():
        print("skipped: needs root, to become other users")
        sys.exit(0)
    harness.main()
