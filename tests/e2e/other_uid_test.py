"""What holds between users: who may connect to whose broker, and what they are told."""

import ctypes
import os
import re

import harness
import uid_case
from uid_case import CLONE_NEWNET, NOBODY, SOMEBODY, OtherUid, become
from wire_case import confirmed, status, subscribe, sync, take_deliveries
from wire_codec import Code
from wire_socket import new_socket, socket_name


class Strangers(OtherUid):
    def test_a_stranger_is_refused_and_told_its_uid(self):
        self.serve(self.open_name, self.path + "?mode=0666")
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
        self.serve(self.open_name, limits={"sessions": 5, "unready": 5})
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
            with new_socket(self.name) as holder:
                holder.bind(socket_name(self.name))
                holder.listen()
                child.say("held")
                child.hear()

        os.chown(self.directory, NOBODY, NOBODY)
        child = self.fork(hold)
        child.hear()
        self.fails(1, "--listen", self.name, said=re.escape(harness.who(child.pid, NOBODY)))
        child.say("thanks")
        child.end()


class Namespaces(OtherUid):
    def test_another_network_namespace_has_names_of_its_own(self):
        if harness.KIND != "abstract":
            return
        broker = self.serve(self.open_name, self.path)

        def elsewhere(_):
            self.assertEqual(ctypes.CDLL(None).unshare(CLONE_NEWNET), 0)
            with self.assertRaises(ConnectionRefusedError):
                self.socket(self.name)
            sync(self.connect(self.path))           # a file is where its directory is
            other = self.new_broker(listen=(self.open_name,), address=self.name)
            session = self.connect(self.name)
            self.assertNotEqual(status(session)["broker"]["pid"], broker.pid)
            session.close()
            other.finish()

        self.fork(elsewhere).end()
        self.assertEqual(status(self.connect(self.name))["broker"]["pid"], broker.pid)


class OtherBrokers(OtherUid):
    def test_a_users_broker_admits_root_and_itself_alone(self):
        broker = self.serve_as(NOBODY, self.open_name, self.path)
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
        names = [] if harness.IS_PORTABLE else [f"@baton-{NOBODY}"]
        file, env = self.at("baton.sock"), harness.clean_env(XDG_RUNTIME_DIR=self.directory)
        broker = self.serve_as(NOBODY, file, listen=(), env=env)
        self.assertEqual(broker.listening(), [*names, file])
        broker.finish()
        if not names:
            self.fails(2, said="XDG_RUNTIME_DIR", program=self.program,
                       preexec_fn=lambda: become(NOBODY), env=harness.clean_env())
            return
        broker = self.serve_as(NOBODY, *names, listen=(), env=harness.clean_env())
        self.assertEqual(broker.listening(), names)

    def test_a_users_broker_says_why_a_path_cannot_be_had(self):
        os.mkdir(self.at("roots"), 0o755)
        self.fails(1, "--listen", self.at("roots/s"), said="Permission denied",
                   program=self.program, preexec_fn=lambda: become(NOBODY))
        with open(self.at("s.lock"), "w", encoding="ascii"):
            os.chmod(self.directory, 0o1777)        # where root was first
        self.fails(1, "--listen", self.path, said="lock file|Permission denied",
                   program=self.program, preexec_fn=lambda: become(NOBODY))


if __name__ == "__main__":
    uid_case.main()
