"""Where a broker serves: names, files, their modes, and what it does when somebody is there."""

import os
import socket
import stat

import harness
from wire_case import PlaceTest, status, sync


class Addresses(PlaceTest):
    def test_several_addresses_are_one_bus(self):
        addresses = [self.name, self.name + "-2", self.path, self.at("s2"),
                     "seqpacket:" + self.at("s3")]
        broker = self.serve(addresses[0], ",".join(addresses[1:]))
        sessions = [self.connect(address) for address in addresses]
        self.assertEqual(len({session.welcome.instance for session in sessions}), 1)
        self.assertEqual(status(sessions[0])["sessions"], 5)
        self.assertEqual(broker.listening(), addresses[:-1] + [self.at("s3")])

    def test_the_addresses_are_free_at_once_after_kill_9(self):
        broker = self.serve(self.name, self.path)
        for _ in range(5):
            session = self.connect(self.path)
            broker.kill()
            self.assertIsNone(session.next_event())
            broker.start()
            sync(self.connect(self.name))
            sync(self.connect(self.path))

    def test_a_name_that_is_taken_says_by_whom(self):
        broker = self.serve(self.name, self.path)
        session = self.connect(self.path)
        for address in (self.name, self.path):
            self.fails(1, "--listen", address,
                       said=rf"{address}: .*{self.who(broker)}")
        sync(session)
        sync(self.connect(self.path))

    def test_relative_paths_count_from_where_bazel_run_was_called(self):
        self.serve("./here", address=self.at("here"),
                   env=harness.clean_env(BUILD_WORKING_DIRECTORY=self.directory))
        sync(self.connect(self.at("here")))
        self.serve("./there", address=self.at("there"), cwd=self.directory)
        sync(self.connect(self.at("there")))


class Files(PlaceTest):
    def test_the_mode_is_exact_whatever_the_umask(self):
        for umask in (0o000, 0o022, 0o077, 0o777):
            for option, mode in (("", 0o600), ("?mode=0660", 0o660), ("?mode=0666", 0o666),
                                 ("?mode=0", 0), ("?mode=777", 0o777),
                                 (f"?group={os.getgid()}&mode=0620", 0o620)):
                broker = self.serve(self.path + option,
                                    preexec_fn=lambda umask=umask: os.umask(umask) and None)
                found = os.lstat(self.path)
                self.assertTrue(stat.S_ISSOCK(found.st_mode))
                self.assertEqual((oct(stat.S_IMODE(found.st_mode)), found.st_gid),
                                 (oct(mode), os.getgid()), (oct(umask), option))
                broker.stop()

    def test_the_file_goes_with_the_broker_and_leaves_nothing_but_the_lock(self):
        broker = self.serve(self.path)
        broker.stop()
        self.assertEqual(os.listdir(self.directory), ["s.lock"])

    def test_a_file_that_is_no_longer_ours_stays(self):
        broker = self.serve(self.path)
        os.rename(self.path, self.at("moved"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.bind(self.path)
            broker.stop()
            self.assertTrue(os.path.exists(self.path))

    def test_a_stale_socket_is_replaced(self):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as other:
                other.bind(self.path)
            broker = self.serve(self.path)
            with self.connect(self.path) as session:
                sync(session)
            broker.finish()

    def test_a_live_socket_is_not_stolen_even_without_its_lock(self):
        broker = self.serve(self.path)
        os.unlink(self.at("s.lock"))
        self.fails(1, "--listen", self.path, said=self.who(broker))
        sync(self.connect(self.path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.bind(self.at("t"))
            other.listen()
            self.fails(1, "--listen", self.at("t"), said="another type")

    def test_what_is_no_socket_is_left_alone(self):
        os.symlink("elsewhere", self.at("dangling"))
        os.symlink("s", self.at("link"))
        os.mkfifo(self.at("fifo"))
        os.mkdir(self.at("directory"))
        with open(self.at("file"), "w", encoding="ascii") as file:
            file.write("precious")
        for name in ("dangling", "link", "fifo", "directory", "file"):
            before = os.lstat(self.at(name))
            self.fails(1, "--listen", self.at(name), said="symbolic link|no socket")
            self.assertEqual(os.lstat(self.at(name)), before)
        with open(self.at("file"), encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_a_lock_that_is_a_link_is_refused(self):
        os.symlink("precious", self.at("s.lock"))
        self.fails(1, "--listen", self.path, said="lock file")
        self.assertEqual(os.listdir(self.directory), ["s.lock"])

    def test_a_directory_that_anybody_may_write_to_is_refused_unless_sticky(self):
        os.chmod(self.directory, 0o777)
        self.fails(1, "--listen", self.path, said="world-writable")
        self.assertEqual(os.listdir(self.directory), [])
        os.chmod(self.directory, 0o1777)
        self.serve(self.path)
        sync(self.connect(self.path))

    def test_a_directory_that_is_not_there_is_not_made(self):
        self.fails(1, "--listen", self.at("no/s"), said="No such file")
        self.assertEqual(os.listdir(self.directory), [])


if harness.IS_PORTABLE:
    class Lacks(PlaceTest):
        """What a portable build does not have is refused in so many words."""

        def test_abstract_names_and_datagrams_are_not_served(self):
            for address, why in (("@name", "abstract names exist on Linux only: use a path"),
                                 ("dgram:" + self.path, "this build cannot tell who sends")):
                self.fails(1, "--listen", address, said=why)
            self.assertEqual(os.listdir(self.directory), [])

        def test_nobody_is_adopted(self):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                self.fails(1, "--client-fd", theirs.fileno(), pass_fds=[theirs.fileno()],
                           said="this build cannot tell who is at the other end")


if __name__ == "__main__":
    harness.main()
