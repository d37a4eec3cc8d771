"""Who is who where nobody connects: inherited sockets and datagrams, between users."""

import os
import re
import socket
import struct

import harness
import uid_case
from uid_case import NOBODY, SOMEBODY, OtherUid, become
from wire_case import is_delivery, status, subscribe, sync
from wire_client import Session
from wire_codec import Code, Frame as F, encode
from wire_socket import connect_to, send_packet

PUB = encode([F.PUB, 0, "a.b", {}, b"!"])


class Inherited(OtherUid):
    """Root makes the pair, which SO_PEERCRED would say of both ends."""

    def adopt(self, kind, uid):
        """A broker of this user that serves one end; our end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        ours.settimeout(harness.DEADLINE_S)
        broker = harness.popen(self.program, "--client-fd", theirs.fileno(),
                               pass_fds=[theirs.fileno()], preexec_fn=lambda: become(uid))
        self.addCleanup(broker.end)
        broker.wait_line("ready", "err")
        theirs.close()
        return ours, broker

    def client(self, kind, uid, gid, function, broker_uid=NOBODY):
        """function(session) is done by a child that was given our end and became somebody else."""
        ours, broker = self.adopt(kind, broker_uid)

        def run(child):
            become(uid, gid)
            child.say(function(Session(ours)))

        child = self.fork(run)
        ours.close()
        said = child.hear()
        child.end()
        self.assertEqual(broker.wait(), 0)
        return child.pid, said

    def who_am_i(self, session):
        session.hello("child", broker_uid=NOBODY)
        (seen,) = status(session)["clients"]
        return f"{seen['pid']} {seen['uid']} {seen['gid']}"

    def test_the_client_is_attested_as_the_process_that_said_hello(self):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            for uid, gid in ((NOBODY, NOBODY), (NOBODY, SOMEBODY), (0, SOMEBODY)):
                pid, said = self.client(kind, uid, gid, self.who_am_i)
                self.assertEqual(said, f"{harness.pid_said(pid)} {uid} {gid}")

    def test_a_stranger_is_refused_although_root_made_the_pair(self):
        def hello(session):
            session.send_raw(b"\x95\x01\x01\xa1x\x00\x80")
            (bye,) = list(session)
            return f"{Code(bye.code).name}: {bye.text}"

        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            for broker_uid, uid in ((NOBODY, SOMEBODY), (0, NOBODY)):
                _, said = self.client(kind, uid, uid, hello, broker_uid)
                self.assertRegex(said, rf"REFUSED: .*uid {uid} .*")

    def test_nobody_can_say_that_it_is_root(self):
        def lie(session):
            root = struct.pack("iII", os.getpid(), 0, 0)
            try:
                session.sock.sendmsg([b"\x95\x01\x01\xa1x\x00\x80"], [
                    (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, root)])
            except PermissionError:
                return "not permitted"
            return "sent"

        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            self.assertEqual(self.client(kind, NOBODY, NOBODY, lie)[1], "not permitted")


class Datagrams(OtherUid):
    def setUp(self):
        super().setUp()
        self.file = self.at("dgram")

    def listen(self, uid, mode):
        """A broker of this user; a receiver of its datagrams."""
        self.broker = self.serve_as(uid, self.open_name, f"dgram:{self.file}?mode={mode}")
        receiver = self.connect(self.name, broker_uid=uid)
        subscribe(receiver, "a.*")
        return receiver

    def publish(self):
        with connect_to("dgram:" + self.file) as sock:
            send_packet(sock, PUB)

    def test_the_sender_is_who_the_kernel_says(self):
        receiver = self.listen(NOBODY, "0666")
        for uid, gid in ((NOBODY, NOBODY), (NOBODY, SOMEBODY), (0, 0), (0, SOMEBODY)):
            self.run_as(uid, self.publish, gid)
            delivery = receiver.take(is_delivery)
            self.assertEqual((delivery.session, delivery.uid, delivery.gid), (0, uid, gid))

    def test_nobody_speaks_as_another_whose_datagram_came_with_it(self):
        receiver = self.listen(NOBODY, "0666")
        self.broker.pause()
        senders = [(0, 0), (NOBODY, NOBODY), (0, SOMEBODY), (NOBODY, SOMEBODY)]
        for uid, gid in senders:
            self.run_as(uid, self.publish, gid)
        self.broker.go_on()
        got = [receiver.take(is_delivery) for _ in senders]
        self.assertEqual([(delivery.uid, delivery.gid) for delivery in got], senders)

    def test_a_strangers_datagrams_are_refused_counted_and_logged(self):
        receiver = self.listen(0, "0666")
        for number in range(3):
            self.run_as(SOMEBODY, self.publish)
            while status(receiver)["datagrams_refused"] != number + 1:
                pass
        self.publish()
        self.assertEqual(receiver.take(is_delivery).uid, 0)
        sync(receiver)
        self.assertEqual(receiver.pending(), [])
        self.broker.process.wait_line(
            re.compile(rf"broker: .*datagrams.*\(uid {SOMEBODY}\)"), "err")

    def test_nobody_can_say_that_it_is_root(self):
        receiver = self.listen(NOBODY, "0666")

        def lie():
            with connect_to("dgram:" + self.file) as sock:
                for lied in ((os.getpid(), 0, 0), (os.getppid(), NOBODY, NOBODY),
                             (os.getpid(), NOBODY, 0)):
                    with self.assertRaises(PermissionError):
                        sock.sendmsg([PUB], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS,
                                              struct.pack("iII", *lied))])

        self.run_as(NOBODY, lie)
        sync(receiver)
        self.assertEqual(receiver.pending(), [])

    def test_who_may_not_write_to_the_file_cannot_send(self):
        def try_it():
            with self.assertRaises(PermissionError):
                self.publish()

        for mode in ("0600", "0444"):
            receiver = self.listen(0, mode)
            self.run_as(NOBODY, try_it)
            self.assertEqual(status(receiver)["datagrams"], 0)
            receiver.close()
            self.broker.finish()


if __name__ == "__main__":
    uid_case.main()
