"""`dgram:`: publishing without a session, by one sendto; nothing is answered, all is counted."""

import os
import signal
import socket

import harness
from child import eventually
from wire_case import PlaceTest, confirmed, is_delivery, status, subscribe, sync, take_payloads
from wire_codec import Frame as F, Gap, encode
from wire_payload import sealed_memfd
from wire_socket import connect_to, send_packet

BEGIN, HELLO = [F.BEGIN, 0, "a.b", {}, 0], [F.HELLO, 1, "x", 1, {}]
OVERFLOW = 1


def pub(payload=b"", topic="a.b", headers=None, n_fds=0):
    return [F.PUB, n_fds, topic, headers or {}, payload]


class DatagramTest(PlaceTest):
    limits = {}

    def setUp(self):
        super().setUp()
        self.file = self.at("dgram")
        self.broker = self.serve(self.name, "dgram:" + self.file, limits=self.limits)
        self.receiver = self.connect(self.name)
        subscribe(self.receiver, "a.*", max_fds=16)
        self.sock = connect_to("dgram:" + self.file, harness.DEADLINE_S)
        self.addCleanup(self.sock.close)

    def send(self, *frames, fds=()):
        """One datagram."""
        send_packet(self.sock, b"".join(
            frame if isinstance(frame, bytes) else encode(frame) for frame in frames), fds)

    def counted(self, **counts):
        """Wait until the broker's report says so."""
        self.broker.wait_status(
            lambda report: all(report[name] == count for name, count in counts.items()),
            f"counts {counts}")


class Publishing(DatagramTest):
    def test_sendto_is_enough_and_the_sender_is_who_the_kernel_says(self):
        def publish(child):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(encode(pub(b"hello", headers={"n": 1})), self.file)
            child.say(os.getpid())

        child = self.fork(publish)
        delivery = self.receiver.take(is_delivery)
        self.assertEqual((delivery.payload, delivery.headers, delivery.subs, delivery.token),
                         (b"hello", {"n": 1}, [1], 0))
        self.assertEqual((delivery.session, delivery.pid, delivery.uid, delivery.gid),
                         (0, harness.pid_said(int(child.hear())), os.getuid(), os.getgid()))
        child.end()
        self.counted(datagrams=1, datagrams_refused=0, sessions=2)

    def test_a_sender_that_is_gone_is_still_known(self):
        """Its credentials travel with the datagram."""
        self.broker.process.signal(signal.SIGSTOP)
        child = self.fork(lambda child: self.send(pub(b"last words")))
        child.end()
        self.broker.process.signal(signal.SIGCONT)
        delivery = self.receiver.take(is_delivery)
        self.assertEqual((delivery.payload, delivery.pid),
                         (b"last words", harness.pid_said(child.pid)))

    def test_senders_are_told_apart_though_their_datagrams_come_at_once(self):
        """Each of them has its own, also where they share a packet on their way out."""
        self.broker.process.signal(signal.SIGSTOP)
        pids = []
        for _ in range(4):
            child = self.fork(lambda child: self.send(pub(b"%d" % os.getpid())))
            child.end()
            pids.append(child.pid)
        self.broker.process.signal(signal.SIGCONT)
        for pid in pids:
            delivery = self.receiver.take(is_delivery)
            self.assertEqual((delivery.payload, delivery.pid),
                             (b"%d" % pid, harness.pid_said(pid)))

    def test_all_receivers_get_it_and_it_mixes_with_others(self):
        others = [self.connect(self.name) for _ in range(3)]
        for session in others:
            subscribe(session, "*.b", "a.b")
        for number in range(50):
            self.send(pub(b"%d" % number))
            if number % 10 == 0:
                # Whoever got the one has the other behind it: nobody waits for datagrams.
                self.counted(datagrams=number + 1)
                confirmed(self.receiver, "a.b", b"from a session")
        wanted = [word for number in range(50) for word in
                  [b"%d" % number] + [b"from a session"] * (number % 10 == 0)]
        for session in (self.receiver, *others):
            self.assertEqual(take_payloads(session, len(wanted)), wanted)

    def test_ingress_and_what_may_be_ignored_may_come_with_it(self):
        """Ids, and flags other than RETAIN, mean nothing here."""
        for frames in ([[F.INGRESS, 0], pub(b"1")], [[F.INGRESS, 1, 7], pub(b"2")],
                       [[F.INGRESS, 4], pub(b"3")], [[F.INGRESS, 8], pub(b"4")],
                       [[0x55, "more"], pub(b"5"), [0x7f]]):
            self.send(*frames)
        self.assertEqual(take_payloads(self.receiver, 5), [b"1", b"2", b"3", b"4", b"5"])
        self.counted(datagrams_refused=0)

    def test_one_may_be_retained(self):
        self.send([F.INGRESS, 2], pub(b"kept"))
        self.assertEqual(take_payloads(self.receiver, 1), [b"kept"])
        late = self.connect(self.name)
        subscribe(late, "a.b")
        self.assertEqual(take_payloads(late, 1), [b"kept"])

    def test_the_largest_packet(self):
        head = len(encode(pub(bytes(60000)))) - 60000
        self.send(pub(b"x" * (65024 - head)))
        self.assertEqual(take_payloads(self.receiver, 1), [b"x" * (65024 - head)])

    def test_nobody_may_be_subscribed(self):
        self.send(pub(b"x", topic="nobody"))
        self.counted(datagrams=1, datagrams_refused=0, unrouted=1)

    def test_the_file_has_a_mode_and_goes_with_the_broker(self):
        path = self.at("other")
        broker = self.serve(f"dgram:{path}?mode=0620", self.at("s2"), address=self.at("s2"))
        self.assertEqual(oct(os.stat(path).st_mode), oct(0o140620))
        broker.stop()
        self.assertFalse(os.path.exists(path))


class Refused(DatagramTest):
    def refused(self, *datagrams):
        """Each of these is counted, and reaches nobody."""
        for number, frames in enumerate(datagrams):
            self.send(*frames)
            self.counted(datagrams_refused=number + 1)
        self.send(pub(b"the next"))
        self.assertEqual(take_payloads(self.receiver, 1), [b"the next"])

    def test_what_is_no_publication(self):
        self.refused([HELLO], [[F.SUB, 1, 1, "a.b"]], [[F.PING, 1]], [[F.INGRESS, 0]], [BEGIN],
                     [BEGIN, [F.CHUNK, b"x"], [F.END, 0]], [[F.REQUEST, 1, 0], pub()],
                     [[F.REPLY, 1], pub(topic="")], [[0x41]], [[0x30], pub()], [b"\xc1"],
                     [b"garbage"], [encode(pub(b"cut"))[:-1]], [pub(), b"\xc1"])

    def test_more_than_one_publication(self):
        self.refused([pub(), pub()], [[F.INGRESS, 0], pub(), pub()],
                     [[F.INGRESS, 0], [F.INGRESS, 0], pub()], [pub(), [F.PING, 1]])

    def test_topics_and_headers_that_break_the_rules(self):
        self.refused([pub(topic="a..b")], [pub(topic="")], [pub(topic="a.*")],
                     [pub(topic="$sys.status")], [pub(headers={"$x": 1})], [pub(headers={"x": []})])

    def test_placed_payloads_and_counts_of_descriptors(self):
        self.refused([pub(n_fds=1)], [pub(5, n_fds=1)], [pub(5)])

    def test_packets_that_are_too_long_or_empty(self):
        self.refused([pub(bytes(65537))], [b"\x95" * 70000], [b""],
                     [pub(bytes(65025))])               # whose frame is too long

    def test_descriptors(self):
        """They are stopped by the kernel (Linux 6.16), or the datagram is refused."""
        memfd = sealed_memfd(b"12345")
        self.addCleanup(os.close, memfd)
        before, n_refused = self.broker.count_fds(), 0
        for frame in (pub(n_fds=1), pub(5, n_fds=1), pub()):
            try:
                self.send(frame, fds=[memfd])
                n_refused += 1
            except PermissionError:
                pass
        self.counted(datagrams_refused=n_refused)
        eventually(lambda: self.broker.count_fds() == before, "nothing of it is left")
        sync(self.receiver)
        self.assertEqual(self.receiver.pending(), [])

    def test_the_log_names_the_sender_once_and_is_no_flood(self):
        for _ in range(1000):
            self.send(b"garbage")
        self.counted(datagrams=1000, datagrams_refused=1000)
        lines = [line for line in self.broker.said().splitlines() if "datagram" in line]
        self.assertLessEqual(len(lines), 11)
        self.assertIn(f"pid {harness.pid_said(os.getpid())} (uid {os.getuid()})", lines[0])


class Full(DatagramTest):
    limits = {"queue_messages": 100}

    def test_a_receiver_that_is_full_is_told_of_a_gap_and_nobody_waits_for_it(self):
        fast, count = self.connect(self.name), 3000
        subscribe(fast, "b.*")
        for number in range(count):
            self.send(pub(b"%08d" % number + bytes(500)))
        self.counted(datagrams=count)
        report = status(fast)
        lost, queued = report["dropped"], report["queued"]
        self.assertGreater(lost, 0)
        self.assertEqual((queued, report["parked"]), (100, 0))
        self.send(pub(b"for another", topic="b.b"))
        self.assertEqual(take_payloads(fast, 1), [b"for another"])
        got = take_payloads(self.receiver, count - lost)
        gap = self.receiver.take(lambda event: isinstance(event, Gap))
        self.assertEqual(gap, Gap(1, lost, OVERFLOW, count - lost + 1))
        self.assertEqual([int(payload[:8]) for payload in got], list(range(count - lost)))
        self.send(pub(b"again"))
        self.assertEqual(take_payloads(self.receiver, 1), [b"again"])

    def test_a_gap_stands_where_the_messages_were_lost(self):
        watcher, count, got = self.connect(self.name), 2000, []
        for number in range(count):
            self.send(pub(b"%08d" % number + bytes(500)))
        self.counted(datagrams=count)
        lost = status(watcher)["dropped"]
        while status(watcher)["queued"] == 100:         # it reads a part of them
            got += take_payloads(self.receiver, 1)
        self.send(pub(b"behind the gap"))
        self.counted(datagrams=count + 1, dropped=lost)
        got += take_payloads(self.receiver, count - lost - len(got))
        self.assertEqual([int(payload[:8]) for payload in got], list(range(count - lost)))
        self.assertEqual(self.receiver.next_event(), Gap(1, lost, OVERFLOW, count - lost + 1))
        self.assertEqual(take_payloads(self.receiver, 1), [b"behind the gap"])


if __name__ == "__main__":
    harness.main()
