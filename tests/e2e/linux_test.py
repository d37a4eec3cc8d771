"""What only Linux offers: abstract names, and a kernel that ends children with their parents."""

import os
import re
import select
import signal
import socket
import subprocess

import harness
from wire_case import PlaceTest, sync
from wire_socket import socket_name


class Names(PlaceTest):
    def setUp(self):
        super().setUp()
        self.name = f"@{os.path.basename(self.directory)}"

    def test_ss_shows_the_exact_name(self):
        names = [self.name, "@x", "@" + "y" * 107]
        self.serve(*names)
        shown = subprocess.run(["ss", "-xlH"], capture_output=True, check=True, text=True).stdout
        found = {line.split()[4] for line in shown.splitlines() if line.startswith("u_seq")}
        self.assertLessEqual(set(names), found)  # others too, where the network is not our own

    def test_a_name_whose_holder_does_not_listen_says_so(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as holder:
            holder.bind(socket_name(self.name))
            self.fails(1, "--listen", self.name, said="does not listen")

    def test_the_name_of_another_type_of_socket_is_another_name(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
            holder.bind(socket_name(self.name))
            holder.listen()
            self.serve(self.name)
            sync(self.connect(self.name))


class Tour(harness.TestCase):
    def test_a_tour_that_is_killed_takes_its_broker_with_it(self):
        demo = self.start("demo", env=harness.clean_env(BATON_BROKER=harness.binary("broker")))
        line = demo.wait_line(re.compile(r"broker .*\(pid \d+\)"))
        broker = os.pidfd_open(int(re.search(r"pid (\d+)", line)[1]))
        demo.signal(signal.SIGKILL)
        self.assertTrue(select.select([broker], [], [], harness.DEADLINE_S)[0])
        os.close(broker)


if __name__ == "__main__":
    harness.main()
