"""Descriptors as part of a message: who gets them, in which order, and what they are there."""

import contextlib
import os
import random
import socket
import tempfile

import harness
from fd_case import FdTest, identities, identity
from wire_case import confirmed, is_delivery, subscribe, sync, take_deliveries
from wire_codec import Code, Flag, Frame as F
from wire_socket import close_fds


class Passing(FdTest):
    def test_1_to_16_arrive_in_their_order(self):
        for count in range(1, 17):
            fds = self.files(count)
            self.publisher.publish("a.b", b"%d" % count, fds=fds)
            delivery = self.take()
            self.assertEqual((delivery.payload, delivery.withheld), (b"%d" % count, 0))
            self.assertEqual(identities(delivery.fds), identities(fds))

    def test_one_that_is_sent_twice_in_a_message_comes_twice(self):
        (fd,) = self.files(1)
        self.publisher.publish("a.b", fds=[fd] * 16)
        self.assertEqual(identities(self.take().fds), [identity(fd)] * 16)

    def test_each_subscriber_gets_all_or_none_and_is_told_how_many_were_withheld(self):
        sessions = {most: self.connect() for most in range(17)}
        for most, session in sessions.items():
            subscribe(session, "b.>", max_fds=most, observer=most % 5 == 4)
        default = self.connect()
        subscribe(default, "b.*")
        for count in (0, 1, 5, 16):
            fds = self.files(count)
            receivers = confirmed(self.publisher, "b.c", b"payload", fds=fds)
            self.assertEqual(receivers, 18 - 3)
            for most, session in [*sessions.items(), (0, default)]:
                delivery = self.take(session)
                self.assertEqual(delivery.payload, b"payload")
                got = identities(fds) if count <= most else []
                self.assertEqual((identities(delivery.fds), delivery.withheld),
                                 (got, count - len(got)), (most, count))

    def test_of_several_subscriptions_the_one_that_takes_most_counts(self):
        session = self.connect()
        subscribe(session, "b.c", max_fds=2)
        subscribe(session, "b.*", max_fds=6)
        subscribe(session, ">")
        for count, withheld in ((2, 0), (6, 0), (7, 7)):
            self.publisher.publish("b.c", fds=self.files(count))
            delivery = self.take(session)
            self.assertEqual((sorted(delivery.subs), len(delivery.fds), delivery.withheld),
                             ([1, 2, 3], count - withheld, withheld))

    def test_they_come_back_to_their_sender_if_it_asks_for_them(self):
        subscribe(self.publisher, "a.*", max_fds=1)
        (fd,) = self.files(1)
        self.publisher.publish("a.b", fds=[fd])
        self.assertEqual(identities(self.take(self.publisher).fds), [identity(fd)])
        self.publisher.publish("a.b", no_echo=True, fds=[fd])
        sync(self.publisher)
        self.assertFalse(any(map(is_delivery, self.publisher.pending())))

    def test_requests_and_replies_carry_them(self):
        asked, answered = self.files(3), self.files(4)
        for most, withheld in ((16, 0), (4, 0), (3, 4), (0, 4)):
            request = self.publisher.request("a.svc", fds=asked, max_fds=most)
            delivery = self.take()
            self.assertEqual(identities(delivery.fds), identities(asked))
            self.assertEqual(delivery.flags, Flag.REQUEST)
            self.receiver.reply(delivery.token, b"here", fds=answered)
            reply = self.publisher.answer(request)
            self.addCleanup(close_fds, reply.fds)
            self.assertEqual((reply.payload, reply.withheld), (b"here", withheld), most)
            self.assertEqual(identities(reply.fds), [] if withheld else identities(answered))


class Order(FdTest):
    def test_they_keep_their_place_among_plain_messages_and_belong_to_theirs(self):
        """Each message names in its payload the files that came with it."""
        second, rng, sent = self.connect(), random.Random(5), []
        subscribe(second, "a.*", max_fds=4)
        pool = self.files(40)
        for number in range(400):
            fds = rng.sample(pool, rng.choice((0, 0, 0, 1, 2, 16)))
            topic = rng.choice(("a.b", "a.c"))
            payload = " ".join(map(str, [number, *(identity(fd)[1] for fd in fds)])).encode()
            sent.append(payload)
            self.publisher.publish(topic, payload, fds=fds)
            if number % 50 == 49:
                self.read_all(sent[-50:], self.receiver, second)

    def read_all(self, payloads, *sessions):
        for session in sessions:
            for payload in payloads:
                delivery = session.take(is_delivery)
                self.assertEqual(delivery.payload, payload)
                names = payload.decode().split()[1:]
                if delivery.withheld:
                    self.assertEqual((delivery.withheld, len(names)), (16, 16))
                else:
                    self.assertEqual([str(identity(fd)[1]) for fd in delivery.fds], names)
                close_fds(delivery.fds)

    def test_confirms_count_and_stay_in_order_whether_descriptors_are_there_or_not(self):
        fds = self.files(2)
        ids = [self.publisher.publish("a.b", confirm=True, fds=fds * (number % 3))
               for number in range(30)]
        for request_id in ids:
            self.assertEqual(self.publisher.answer(request_id).value, 1)
        for number, delivery in enumerate(take_deliveries(self.receiver, 30)):
            self.assertEqual(len(delivery.fds), 2 * (number % 3))
            close_fds(delivery.fds)

    def test_a_message_that_is_refused_says_so_and_the_next_one_arrives(self):
        fds = self.files(2)
        for topic, headers, code in (("a..b", {}, Code.BAD_TOPIC), ("$sys.x", {}, Code.REFUSED),
                                     ("a.b", {"$x": 1}, Code.BAD_HEADERS)):
            answer = confirmed(self.publisher, topic, headers=headers, fds=fds)
            self.expect_err(answer, code)
        self.publisher.publish("a.b", b"next", fds=fds)
        delivery = self.take()
        self.assertEqual((delivery.payload, identities(delivery.fds)), (b"next", identities(fds)))


class Kinds(FdTest):
    """What was passed is the very same open file, and not a copy of it."""

    def passed(self, fd):
        """What the receiver gets for it."""
        self.publisher.publish("a.b", fds=[fd])
        (received,) = self.take().fds
        self.assertEqual(identity(received), identity(fd))
        self.assertFalse(os.get_inheritable(received))
        return received

    def test_a_file_shares_its_offset_with_everyone_who_has_it(self):
        with tempfile.TemporaryFile(dir=self.broker.directory) as file:
            file.write(b"0123456789")
            file.seek(4)
            received = self.passed(file.fileno())
            self.assertEqual(os.read(received, 3), b"456")
            self.assertEqual(file.read(), b"789")

    def test_a_directory_can_be_looked_into(self):
        fd = os.open(self.broker.directory, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, fd)
        self.assertEqual(os.listdir(self.passed(fd)), os.listdir(self.broker.directory))

    def test_a_pipe_reaches_its_end_when_the_last_who_was_given_it_closes_it(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.publisher.publish("a.b", fds=[write_end])
        os.close(write_end)
        (writer,) = self.receiver.take(is_delivery).fds
        os.write(writer, b"through a pipe")
        received = self.passed(read_end)
        self.assertEqual(os.read(received, 100), b"through a pipe")
        os.close(writer)
        self.assertEqual(os.read(received, 1), b"")

    def test_sockets_connected_and_listening(self):
        left, right = socket.socketpair()
        with left, right, socket.socket(fileno=os.dup(self.passed(right.fileno()))) as received:
            received.send(b"from the receiver")
            self.assertEqual(left.recv(100), b"from the receiver")
        path = os.path.join(self.broker.directory, "passed")
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(path)
            listener.listen()
            received = socket.socket(fileno=os.dup(self.passed(listener.fileno())))
            client.connect(path)
            with received, received.accept()[0] as accepted:
                client.send(b"accepted by another process")
                self.assertEqual(accepted.recv(100), b"accepted by another process")

    def test_an_eventfd_counts_on_both_sides(self):
        fd = os.eventfd(3, os.EFD_CLOEXEC)
        self.addCleanup(os.close, fd)
        received = self.passed(fd)
        os.eventfd_write(received, 4)
        self.assertEqual(os.eventfd_read(fd), 7)

    def test_a_memfd_that_is_not_sealed_stays_writable(self):
        (fd,) = self.files(1)
        received = self.passed(fd)
        os.write(received, b"shared")
        self.assertEqual(os.pread(fd, 100, 0), b"shared")

    def test_what_cannot_be_read_is_passed_as_it_is(self):
        for fd in (os.open("/", os.O_PATH), os.pidfd_open(os.getpid()),
                   os.open("/dev/null", os.O_WRONLY)):
            self.addCleanup(os.close, fd)
            self.passed(fd)

    def test_the_connection_of_another_session_can_be_passed_too(self):
        other = self.connect(name="handed on")
        received = socket.socket(fileno=os.dup(self.passed(other.sock.fileno())))
        with received:
            received.settimeout(harness.DEADLINE_S)
            other.ping(5)
            self.assertEqual(received.recv(100)[-3:], b"\x92\x06\x05")


class Inside(FdTest):
    """What the broker has while it keeps descriptors for somebody."""

    def test_all_that_it_has_open_is_close_on_exec(self):
        self.receiver.auto_fd_credit = False
        fds = self.files(16)
        for number in range(18):
            self.assertEqual(confirmed(self.publisher, "a.b", b"%d" % number, fds=fds), 1)
        self.assertGreater(self.broker.status()["descriptors"], 100)
        flags = {}
        for name in os.listdir(f"/proc/{self.broker.pid}/fdinfo"):
            with contextlib.suppress(FileNotFoundError):    # closed meanwhile
                with open(f"/proc/{self.broker.pid}/fdinfo/{name}", encoding="ascii") as file:
                    flags[int(name)] = int(file.read().partition("flags:")[2].split()[0], 8)
        self.assertGreater(len(flags), 100)
        self.assertEqual([fd for fd, bits in flags.items()
                          if fd > 2 and not bits & os.O_CLOEXEC], [])

    def test_its_report_counts_what_it_keeps_and_what_is_under_way(self):
        self.receiver.auto_fd_credit = False
        fds = self.files(3)
        for _ in range(25):
            self.assertEqual(confirmed(self.publisher, "a.b", fds=fds), 1)
        report = self.broker.status()
        # 21 packets of 3 descriptors have been sent, and are none of its own any more.
        self.assertEqual((report["descriptors"], report["descriptors_in_flight"]), (12, 63))
        for _ in range(25):
            close_fds(self.receiver.take(is_delivery).fds)
            self.receiver.credit(2, 0, 1)
        sync(self.receiver)
        report = self.broker.status()
        self.assertEqual((report["descriptors"], report["descriptors_in_flight"]), (0, 0))

    def test_a_receiver_is_sent_64_descriptors_before_its_credit(self):
        self.receiver.auto_fd_credit = False
        for each, packets in ((1, 64), (4, 16), (5, 12), (16, 4)):
            fds = self.files(each)
            in_all = packets + 5
            for number in range(in_all):
                self.publisher.publish("a.b", b"%d" % number, fds=fds)
            sync(self.publisher)
            sync(self.receiver)
            got = [event for event in self.receiver.pending() if is_delivery(event)]
            self.assertEqual(len(got), packets, each)
            for _ in range(in_all):
                close_fds(self.receiver.take(is_delivery).fds)
                self.receiver.send_frames([F.CREDIT, 2, 0, 1])

    def test_credit_may_be_more_than_is_owed_but_not_beyond_all_measure(self):
        for amount in (0, 1, 100, 2**63 - 1):
            self.receiver.credit(2, 0, amount)
            sync(self.receiver)
        for amount in (2**63, 2**64 - 1):
            with self.connect() as session:
                session.credit(2, 0, amount)
                self.expect_bye(session, Code.PROTOCOL)

    def test_what_has_no_descriptors_waits_behind_what_has(self):
        self.receiver.auto_fd_credit = False
        fds = self.files(16)
        for number in range(6):
            self.publisher.publish("a.b", b"%d" % number, fds=fds)
        self.publisher.publish("a.b", b"plain")
        sync(self.publisher)
        sync(self.receiver)
        self.assertEqual(len(self.receiver.pending()), 4)
        for payload in (b"0", b"1", b"2", b"3", b"4", b"5", b"plain"):
            delivery = self.receiver.take(is_delivery)
            self.assertEqual(delivery.payload, payload)
            self.receiver.credit(2, 0, len(delivery.fds) // 16)
            close_fds(delivery.fds)


if __name__ == "__main__":
    harness.main()
