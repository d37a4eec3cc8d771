"""Large payloads that are not what they say, or never end: refused by the page, and only to who
sends them. Beside each, a pair goes on exchanging large and small messages.
"""

import contextlib
import fcntl
import mmap
import os
import socket
import tempfile

import harness
from fd_case import FdTest
from wire_case import confirmed, is_delivery, subscribe, sync
from wire_codec import Code, Err, Frame as F, Ok, encode
from wire_payload import SEALS, chunks_of, sealed_memfd

MIB = 1 << 20
EACH_SEAL = (fcntl.F_SEAL_WRITE, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_SEAL)
CHUNK = [F.CHUNK, bytes(60000)]


class HostileTest(FdTest):
    def setUp(self):
        super().setUp()
        self.victims = self.connect(), self.connect(features=0)
        subscribe(self.victims[1], "victim.*")

    def exchange(self):
        """The others do not notice."""
        publisher, receiver = self.victims
        for form, payload in (("placed", bytes(200000)), ("plain", b"small"),
                              ("chunked", bytes(100000))):
            self.assertEqual(confirmed(publisher, "victim.x", payload, form=form), 1)
            self.assertEqual(receiver.take(is_delivery).payload, payload)

    def place(self, size, *fds):
        """Publish a placed payload as it is; what the broker answers."""
        request_id = self.publisher.new_ids()
        self.publisher.send_frames([F.INGRESS, 1, request_id], [F.PUB, len(fds), "a.b", {}, size],
                                   fds=fds)
        return self.publisher.answer(request_id)

    def refused(self, size, *fds):
        """It is no payload; the session goes on, and nobody received anything."""
        self.expect_err(self.place(size, *fds), Code.PAYLOAD)
        sync(self.receiver)
        self.assertEqual(self.receiver.pending(), [])
        self.exchange()

    def open(self, fd):
        """A descriptor that goes with the test."""
        self.addCleanup(os.close, fd)
        return fd


class Placed(HostileTest):
    def memfd(self, data=b"0123456789", seals=SEALS):
        return self.open(sealed_memfd(data, seals))

    def test_a_seal_that_is_missing(self):
        self.refused(10, self.memfd(seals=0))
        for missing in EACH_SEAL:
            self.refused(10, self.memfd(seals=SEALS & ~missing))
        self.refused(10, self.open(os.memfd_create("never", os.MFD_CLOEXEC)))
        self.assertEqual(self.place(10, self.memfd()), Ok(7, 1))

    def test_another_size_than_was_said(self):
        for said in (1, 9, 11, 4096, 1 << 29):
            self.refused(said, self.memfd())
        self.refused(1, self.memfd(b""))

    def test_a_size_above_the_limit(self):
        for size in ((1 << 30) + 1, 1 << 40, 1 << 62, (1 << 64) - 1):
            self.expect_err(self.place(size, self.memfd()), Code.LIMIT, "payload_bytes")
        self.exchange()

    def test_a_sparse_one(self):
        """It costs nothing to make, and must cost the broker nothing either."""
        sparse = self.open(os.memfd_create("sparse", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(sparse, 1 << 40)
        fcntl.fcntl(sparse, fcntl.F_ADD_SEALS, SEALS)
        self.refused(10, sparse)
        self.expect_err(self.place(1 << 40, sparse), Code.LIMIT, "payload_bytes")
        self.exchange()

    def test_what_is_no_memfd(self):
        pipe, pair = os.pipe(), socket.socketpair()
        for fd in pipe:
            self.open(fd)
        with tempfile.TemporaryFile(dir=self.broker.directory) as file, pair[0], pair[1]:
            file.write(b"0123456789")
            file.flush()
            memfd = self.memfd()
            for fd in (*pipe, pair[0].fileno(), file.fileno(),
                       self.open(os.open("/dev/zero", os.O_RDONLY)),
                       self.open(os.open("/", os.O_RDONLY)), self.open(os.eventfd(1)),
                       self.open(os.open(f"/proc/self/fd/{memfd}", os.O_PATH)),
                       self.open(os.open(f"/proc/self/fd/{memfd}", os.O_WRONLY))):
                self.refused(10, fd)
            readable = self.open(os.open(f"/proc/self/fd/{memfd}", os.O_RDONLY))
            self.assertIsInstance(self.place(10, readable), Ok)

    def test_the_payload_is_the_last_of_the_descriptors(self):
        memfd, other = self.memfd(), self.open(os.eventfd(1))
        self.refused(10, memfd, other)
        self.assertIsInstance(self.place(10, other, memfd), Ok)
        delivery = self.take()
        self.assertEqual((len(delivery.fds), delivery.payload), (1, b"0123456789"))
        self.assertEqual(os.eventfd_read(delivery.fds[0]), 1)

    def test_what_is_sealed_stays_as_it_is_for_all_who_have_it(self):
        memfd = self.memfd(bytes(8192))
        self.publisher.send_frames([F.PUB, 2, "a.b", {}, 8192], fds=[memfd, memfd])
        (received,) = self.take().fds
        for fd in (memfd, received):
            for change in (lambda fd=fd: os.ftruncate(fd, 1), lambda fd=fd: os.ftruncate(fd, 9000),
                           lambda fd=fd: os.pwrite(fd, b"x", 0),
                           lambda fd=fd: mmap.mmap(fd, 8192),
                           lambda fd=fd: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0)):
                with self.assertRaises(PermissionError):
                    change()
        self.assertEqual(os.fstat(received).st_size, 8192)

    def test_what_is_still_mapped_for_writing_cannot_be_sealed(self):
        memfd = self.open(os.memfd_create("mapped", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(memfd, 4096)
        with mmap.mmap(memfd, 4096) as mapping:
            with self.assertRaises(OSError):
                fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, SEALS)
            fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self.refused(4096, memfd)
            mapping[0] = 1

    def test_a_size_of_0_or_no_descriptor_is_malformed(self):
        for frame, count in (([F.PUB, 1, "a.b", {}, 0], 1), ([F.PUB, 0, "a.b", {}, 10], 0)):
            with self.connect() as session:
                session.send_raw(encode(frame), [self.memfd()] * count)
                self.expect_bye(session, Code.PROTOCOL)
        self.exchange()

    def test_one_more_than_16_descriptors_is_allowed_and_two_are_not(self):
        fds = self.files(16)
        self.assertEqual(self.place(10, *fds, self.memfd()).value, 1)
        self.assertEqual(len(self.take().fds), 16)
        with self.connect() as session:
            session.send_raw(encode([F.PUB, 18, "a.b", {}, 10]), [*fds, fds[0], self.memfd()])
            self.expect_bye(session, Code.PROTOCOL)


class Chunked(HostileTest):
    limits = {"payload_bytes": MIB, "spool_bytes": 3 * MIB}

    def begin(self, session, size=0):
        """Start a confirmed one; its id."""
        request_id = session.new_ids()
        session.send_frames([F.INGRESS, 1, request_id], [F.BEGIN, 0, "a.b", {}, size])
        return request_id

    @contextlib.contextmanager
    def ends(self, code=Code.PROTOCOL):
        """What is done within ends the session, and nobody else notices."""
        with self.connect() as session:
            yield session
            self.expect_bye(session, code)
        self.exchange()

    def test_a_size_beyond_the_limit_is_refused_at_once_and_the_rest_skipped(self):
        for size in (MIB + 1, 1 << 40, 1 << 60, (1 << 64) - 1):
            refused = self.begin(self.publisher, size)
            self.expect_err(self.publisher.answer(refused), Code.LIMIT, "payload_bytes")
            for _ in range(5):
                self.publisher.send_frames(CHUNK)
            self.publisher.send_frames([F.END, 1])
            self.exchange()
        largest = self.begin(self.publisher, MIB)
        for chunk in chunks_of(bytes(MIB)):
            self.publisher.send_frames(chunk)
        self.publisher.send_frames([F.END, 0])
        self.assertEqual(self.publisher.answer(largest).value, 1)
        self.assertEqual(len(self.take().payload), MIB)

    def test_one_without_size_that_never_ends(self):
        endless = self.begin(self.publisher)
        for _ in range(1000):
            self.publisher.send_frames(CHUNK)
        self.expect_err(self.publisher.answer(endless), Code.LIMIT, "payload_bytes")
        self.assertEqual(self.broker.status()["spooled_bytes"], 0)
        self.exchange()
        self.publisher.send_frames([F.END, 0])
        self.assertEqual(confirmed(self.publisher, "a.b", b"behind it"), 1)
        self.assertEqual(self.take().payload, b"behind it")

    def test_what_is_collected_in_all_has_a_limit(self):
        with self.leaves_nothing():
            sessions = [self.connect() for _ in range(4)]
            ids = [self.begin(session) for session in sessions]
            for session in sessions:
                for _ in range(17):
                    session.send_frames(CHUNK)
                sync(session)
            told = [event for session in sessions for event in session.pending()
                    if isinstance(event, Err)]
            self.assertEqual(len(told), 1)
            self.expect_err(told[0], Code.LIMIT, "spool_bytes")
            self.assertEqual(self.broker.status()["spooled_bytes"], 3 * 17 * 60000)
            for session, request_id in zip(sessions, ids):
                session.send_frames([F.END, 0])
                self.assertIsInstance(session.answer(request_id), (Ok, Err))
                session.close()
            for _ in range(3):
                self.assertEqual(len(self.take().payload), 17 * 60000)
            self.assertEqual(self.broker.status()["spooled_bytes"], 0)
        self.exchange()

    def test_frames_out_of_place(self):
        begin, end = [F.BEGIN, 0, "a.b", {}, 0], [F.END, 0]
        pub, chunk = [F.PUB, 0, "a.b", {}, b""], [F.CHUNK, b"x"]
        for frames in ([chunk], [end], [begin, begin], [begin, pub], [begin, end, end],
                       [begin, [F.REQUEST, 5, 0], pub], [begin, [F.END, 2]], [begin, [F.END]],
                       [begin, [F.CHUNK, "text"]], [begin, [F.CHUNK, 5]],
                       [[F.BEGIN, 0, "a.b", {}]], [[F.BEGIN, 0, "a.b", {}, -1]],
                       [[F.BEGIN, 0, "a.b", {}, b""]], [[F.BEGIN, 17, "a.b", {}, 0]],
                       [[F.REQUEST, 5, 0], chunk], [[F.REQUEST, 5, 0], end]):
            with self.ends() as session:
                session.send_raw(b"".join(map(encode, frames)))

    def test_another_total_than_was_said(self):
        for size, sizes in ((10, [9]), (10, []), (10, [5, 4])):
            with self.ends() as session:
                session.send_raw(encode([F.BEGIN, 0, "a.b", {}, size]) + b"".join(
                    encode([F.CHUNK, bytes(count)]) for count in sizes) + encode([F.END, 0]))
        for sizes in ([11], [10, 1], [5, 6]):
            with self.ends() as session:
                session.send_raw(encode([F.BEGIN, 0, "a.b", {}, 10]) + b"".join(
                    encode([F.CHUNK, bytes(count)]) for count in sizes))
        sync(self.receiver)
        self.assertEqual(self.receiver.pending(), [])

    def test_what_is_wrong_with_topic_or_headers_is_told_at_once(self):
        for topic, headers, code in (("a..b", {}, Code.BAD_TOPIC), ("$sys.x", {}, Code.REFUSED),
                                     ("a.b", {"$x": 1}, Code.BAD_HEADERS),
                                     ("a.b", {"x": []}, Code.BAD_HEADERS)):
            request_id = self.publisher.new_ids()
            self.publisher.send_frames([F.INGRESS, 1, request_id], [F.BEGIN, 0, topic, headers, 0])
            self.expect_err(self.publisher.answer(request_id), code)
            self.publisher.send_frames(CHUNK)
            self.publisher.send_frames([F.END, 0])
        self.exchange()


class Costs(HostileTest):
    """The window: 262,144 bytes, of which descriptors and payloads may cost 65,536 a frame."""

    limits = {"window_bytes": 262144, "queue_messages": 1}

    def setUp(self):
        super().setUp()
        self.receiver.auto_fd_credit = False
        for _ in range(17):                         # 16 are under way, one is the whole backlog
            self.publisher.publish("a.b", fds=self.files(4))
            sync(self.publisher)
        self.assertEqual(self.broker.status()["queued"], 1)

    @staticmethod
    def pub_of(length):
        """A publication that takes so many bytes."""
        head = len(encode([F.PUB, 0, "a.b", {}, bytes(length)])) - length
        return encode([F.PUB, 0, "a.b", {}, bytes(length - head)])

    def is_spent(self, frame, fds, extra):
        """As many of these as fit are taken; what is left is good to the last byte, and no more."""
        cost = len(encode(frame)) + extra
        self.assertEqual(self.publisher.window.cost(frame, len(encode(frame))), cost)
        for excess in (0, 1):
            with self.connect() as session:
                while session.window.left >= cost:
                    session.send_frames(frame, fds=fds)
                while session.window.left > 60000:
                    session.send_frames(self.pub_of(50000))
                session.send_raw(self.pub_of(session.window.left + excess))
                if excess:
                    self.expect_bye(session, Code.WINDOW)
                else:
                    sync(session)
        self.exchange()

    def test_descriptors(self):
        self.is_spent([F.PUB, 3, "a.b", {}, b""], self.files(3), 3 * 4096)

    def test_placed_bytes(self):
        memfd = self.open(sealed_memfd(bytes(10 * MIB + 1023)))
        self.is_spent([F.PUB, 1, "a.b", {}, 10 * MIB + 1023], [memfd], 4096 + 10240)

    def test_both_together_cost_no_more_than_a_quarter(self):
        memfd = self.open(sealed_memfd(bytes(64 * MIB)))
        self.is_spent([F.PUB, 17, "a.b", {}, 64 * MIB], [*self.files(16), memfd], 65536)


if __name__ == "__main__":
    harness.main()
