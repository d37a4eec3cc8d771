"""What has ended or crippled D-Bus daemons, done to a Baton broker for real: nothing is injected.

    no descriptors are left             dbus-broker issue 435
    the peer is gone before accept      dbus-broker issue 427
    received descriptors are cut off    dbus-broker NEWS 22
    too many descriptors are under way  CVE-2014-3532, dbus-daemon

Each time a pair of bystanders, and then a newcomer, must not notice.
"""

import os
import resource
import select
import socket

import uid_case
from child import eventually
from uid_case import OWN_USER, OtherUid, become
from wire_case import confirmed, is_delivery, subscribe
from wire_codec import Code, Frame as F, encode
from wire_socket import close_fds

MOST = 40                       # RLIMIT_NOFILE: fewer than its sessions alone could need
CLIENTS = 200
TICKS_MAX = 20                  # of 10 ms, for 0.5 s in which nothing can be done


class KillersTest(OtherUid):
    most = MOST

    def setUp(self):
        super().setUp()
        self.broker = self.serve_as(OWN_USER, self.open_name, before=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (self.most, self.most)))
        self.bystanders = self.open("from"), self.open("to")
        subscribe(self.bystanders[1], "by.>", max_fds=4)
        self.addCleanup(self.newcomer)          # first of all

    def open(self, name):
        """A session of root, which this broker serves too."""
        return self.connect(self.name, name=name, broker_uid=OWN_USER)

    def exchange(self, count=1):
        """The bystanders notice nothing."""
        for number in range(count):
            self.assertEqual(confirmed(self.bystanders[0], "by.stander", b"%d" % number), 1)
            self.assertEqual(self.bystanders[1].take(is_delivery).payload, b"%d" % number)

    def newcomer(self):
        """It lives, and serves who comes next."""
        self.assertTrue(self.broker.is_running(), "the broker has ended")
        session = self.open("newcomer")
        subscribe(session, "new.comer")
        self.assertEqual(confirmed(session, "new.comer", b"!"), 1)
        self.assertEqual(session.take(is_delivery).payload, b"!")
        session.close()


class Descriptors(KillersTest):
    """Issue 435: EMFILE, of accept, or of asking who the peer is."""

    def ticks(self):
        """Processor time it has used."""
        return sum(map(int, self.broker.stat()[11:13]))

    def pauses(self):
        return self.broker.said().count("out of descriptors or memory")

    def flood(self):
        """More clients than it can have; returns all, and those that it has welcomed."""
        clients = [self.socket(self.name) for _ in range(CLIENTS)]
        for client in clients:
            client.send_frames([F.HELLO, 1, "client", 0, {}])
        # When it tries again, it has long answered those whom it could take in.
        eventually(lambda: self.pauses() >= 2, "it has no descriptor left")
        return clients, select.select([client.sock for client in clients], [], [], 0)[0]

    def test_clients_beyond_the_last_descriptor_wait_and_hurt_nobody(self):
        clients, welcomed = self.flood()
        self.assertTrue(0 < len(welcomed) < MOST, len(welcomed))
        self.exchange(100)
        before, pauses = self.ticks(), self.pauses()
        eventually(lambda: self.pauses() >= pauses + 5, "it tries now and then")
        self.assertLess(self.ticks() - before, TICKS_MAX)
        for client in clients[:-1]:
            client.close()
        clients[-1].next_event()                # its turn has come
        self.assertTrue(clients[-1].welcome)

    def test_who_has_the_last_descriptor_is_known_all_the_same(self):
        clients, welcomed = self.flood()
        last = [client for client in clients if client.sock in welcomed][-1]
        last.next_event()
        self.assertEqual(confirmed(last, "by.last", b"last"), 1)
        delivery = self.bystanders[1].take(is_delivery)
        self.assertEqual((delivery.payload, delivery.pid), (b"last", os.getpid()))
        for client in clients:
            client.close()

    def test_a_cut_packet_costs_its_sender_alone(self):
        """NEWS 22: MSG_CTRUNC."""
        clients, welcomed = self.flood()
        for client in clients:                  # none waits any more
            if client.sock not in welcomed:
                client.close()
        sender = [client for client in clients if client.sock in welcomed][0]
        sender.next_event()
        files = [os.memfd_create(f"file {number}", os.MFD_CLOEXEC) for number in range(16)]
        self.addCleanup(close_fds, files)
        sender.publish("by.fds", b"many", fds=files)
        self.expect_err(sender.answer(0), Code.LIMIT, "held_fds")
        self.exchange(100)
        for client in clients:
            client.close()


class Gone(KillersTest):
    """Issue 427: ESRCH of SO_PEERPIDFD."""

    def say_and_wait(self, child):
        """Be a client that has said all it had to say."""
        session = self.socket(self.name)
        session.send_frames([F.HELLO, 1, "gone", 0, {}])
        session.send_raw(encode([F.PUB, 0, "by.gone", {}, b"gone"]))    # not after WELCOME
        child.say("said")
        child.hear()

    def test_who_is_dead_and_reaped_before_accept_is_still_heard(self):
        self.broker.pause()
        pids = []
        for _ in range(20):
            child = self.fork(self.say_and_wait)
            child.hear()
            child.kill()
            pids.append(child.pid)
        self.broker.go_on()
        heard = [self.bystanders[1].take(is_delivery) for _ in pids]
        self.assertEqual([(delivery.payload, delivery.pid) for delivery in heard],
                         [(b"gone", pid) for pid in pids])
        self.exchange(100)


class UnderWay(KillersTest):
    """CVE-2014-3532: ETOOMANYREFS, by another process of the broker's user."""

    most = 200

    def hoard(self, child):
        """Have more descriptors under way than the broker may."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        become(OWN_USER)
        pairs = [socket.socketpair() for _ in range(30)]
        null = os.open("/dev/null", os.O_RDONLY)
        for pair in pairs:
            socket.send_fds(pair[0], [b"x"], [null] * 16)
        child.say("full")
        child.hear()
        for pair in pairs:
            close_fds([end.detach() for end in pair])

    def test_descriptors_wait_until_there_is_room_and_the_rest_goes_on(self):
        receiver = self.open("receiver")
        subscribe(receiver, "fds", max_fds=4)
        hoarder = self.fork(self.hoard)
        hoarder.hear()
        end, other = os.pipe()
        self.addCleanup(close_fds, [end, other])
        self.assertEqual(confirmed(self.bystanders[0], "fds", b"later", fds=[end]), 1)
        self.exchange(100)
        self.assertEqual(select.select([receiver.sock], [], [], 0)[0], [])
        hoarder.say("enough")
        hoarder.end()
        delivery = receiver.take(is_delivery)
        self.assertEqual((delivery.payload, len(delivery.fds)), (b"later", 1))
        close_fds(delivery.fds)


if __name__ == "__main__":
    uid_case.main()
