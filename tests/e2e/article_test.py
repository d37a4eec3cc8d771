"""The six programs of the article that Baton grew out of, each done with a real broker.

docs/ARTICLE.md says which is which. They are written to be read: what goes over the sockets is
spelled out, and where the wire format does not matter, the test client is used.

    frame    a msgpack array: [0x10, 0, "a.b", {}, b"hello"] publishes "hello" to the topic a.b
    packet   one or more frames: one record of a SEQPACKET socket
"""

import array
import ctypes
import os
import select
import socket
import stat
import struct
import subprocess
import tempfile

import harness
from wire_case import PlaceTest, is_delivery, subscribe, sync
from wire_client import Session
from wire_codec import Frame as F, encode

ABSTRACT = b"\0"                        # the first byte of an abstract address, instead of a path
HELLO = encode([F.HELLO, 1, "learner", 0, {}])
IN_ATTRIB, IN_MOVED_TO, IN_CREATE = 0x4, 0x80, 0x100


class Watch:
    """What happens to the names of a directory, as inotify(7) tells it."""

    def __init__(self, directory):
        libc = ctypes.CDLL(None)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        libc.inotify_add_watch(self._fd, os.fsencode(directory),
                               IN_ATTRIB | IN_MOVED_TO | IN_CREATE)

    def events(self):
        """All so far: (name, what)."""
        data, found = os.read(self._fd, 1 << 16), []
        os.close(self._fd)
        while data:
            _, mask, _, length = struct.unpack("iIII", data[:16])
            found.append((data[16:16 + length].rstrip(b"\0").decode(), mask))
            data = data[16 + length:]
        return found


class Article(PlaceTest):
    def setUp(self):
        super().setUp()
        self.abstract = f"@article-{os.path.basename(self.directory)}"

    def subscriber(self, address):
        """Somebody who receives what is published below `a`."""
        session = self.connect(address)
        subscribe(session, "a.*", max_fds=1)
        return session

    def open_raw(self, kind, name):
        """A plain socket that has said HELLO, and been told WELCOME."""
        sock = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(sock.close)
        sock.settimeout(harness.DEADLINE_S)
        sock.connect(name)
        lead = struct.pack(">BI", 0xce, len(HELLO)) if kind == socket.SOCK_STREAM else b""
        sock.send(lead + HELLO)
        self.assertTrue(sock.recv(65536))
        return sock

    # 1. A socket that is a file, with a mode and a group.

    def test_1_a_socket_file_has_its_permissions_before_anybody_can_connect(self):
        """Between bind() and chmod() anybody could slip in; so the name appears when all is set."""
        watch = Watch(self.directory)
        spy = self.fork(self.look_at_the_file)
        self.assertEqual(spy.hear(), "looking")
        broker = self.serve(f"{self.path}?mode=0620&group={os.getgid()}",
                            preexec_fn=lambda: os.umask(0) and None)
        # The name came by rename(), was never made by bind(), and its file was not changed since.
        happened = [what for name, what in watch.events() if name == "s"]
        self.assertEqual(happened, [IN_MOVED_TO])
        found = os.stat(self.path)
        self.assertTrue(stat.S_ISSOCK(found.st_mode))
        self.assertEqual((oct(found.st_mode & 0o777), found.st_gid), (oct(0o620), os.getgid()))
        # Whoever looked meanwhile never saw more than that, not even on its temporary name.
        spy.say("enough")
        seen = [int(word) for word in spy.hear().split()]
        self.assertIn(0o620, seen)
        self.assertEqual([oct(mode) for mode in seen if mode & ~0o620], [])
        spy.end()
        sync(self.connect(self.path))
        broker.stop()
        self.assertFalse(os.path.exists(self.path))

    def look_at_the_file(self, child):
        """Another process, which looks as often as it can until it is told that it is enough."""
        seen = set()
        child.say("looking")
        while not select.select([child], [], [], 0)[0] or 0o620 not in seen:
            for path in (self.path, self.path + ".new"):
                try:
                    seen.add(os.lstat(path).st_mode & 0o777)
                except FileNotFoundError:
                    pass
        child.hear()
        child.say(" ".join(map(str, seen)))

    # 2. Datagrams: sendto without a connection, and the receiver knows who sent it.

    def test_2_a_datagram_is_published_by_sendto_and_its_sender_is_known(self):
        self.serve(self.path, f"dgram:{self.at('dgram')}")
        receiver = self.subscriber(self.path)

        def send(child):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                for text in (b"first", b"second"):
                    sock.sendto(encode([F.PUB, 0, "a.b", {}, text]), self.at("dgram"))
            child.say("sent")

        child = self.fork(send)
        for text in (b"first", b"second"):              # one sendto, one message
            delivery = receiver.take(is_delivery)
            self.assertEqual(delivery.payload, text)
            # recvfrom would give an address, if the sender had bound one; the kernel gives this.
            self.assertEqual((delivery.session, delivery.pid, delivery.uid, delivery.gid),
                             (0, child.pid, os.getuid(), os.getgid()))
        self.assertEqual(child.hear(), "sent")
        child.end()

    # 3. sendmsg: pieces of memory gathered into one message, and a descriptor beside them.

    def test_3_one_sendmsg_gathers_pieces_and_passes_a_descriptor(self):
        self.serve(self.path)
        receiver = self.subscriber(self.path)
        sock = self.open_raw(socket.SOCK_SEQPACKET, self.path)
        with tempfile.TemporaryFile() as file:
            file.write(b"read through a descriptor")
            file.flush()
            pieces = [b"\x95\x10\x01", encode("a.b"), encode({"unit": "C"}), encode(b"21.5")]
            rights = array.array("i", [file.fileno()])
            sock.sendmsg(pieces, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        delivery = receiver.take(is_delivery)
        self.assertEqual((delivery.topic, delivery.headers, delivery.payload),
                         ("a.b", {"unit": "C"}, b"21.5"))
        (received,) = delivery.fds                      # its sender has closed the file already
        self.assertEqual(os.pread(received, 100, 0), b"read through a descriptor")
        os.close(received)

    # 4. An abstract address: no file, an exact length, and gone with its process.

    def test_4_an_abstract_address_is_no_file_and_goes_with_its_process(self):
        broker = self.serve(self.abstract)
        name = ABSTRACT + self.abstract[1:].encode()
        self.assertEqual(os.listdir(self.directory), [])
        with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
            self.assertIn(self.abstract, file.read().split())
        sync(self.connect(self.abstract))
        # Every byte of it counts, a NUL too: a padded address is another one, and nobody is there.
        for other in (name + b"\0", name[:-1], name + bytes(107 - len(name))):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                with self.assertRaises(ConnectionRefusedError):
                    sock.connect(other)
                sock.bind(other)                        # so it can be had
        broker.kill()                                   # no time to clean up, and nothing to
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            with self.assertRaises(ConnectionRefusedError):
                sock.connect(name)
        broker.start()
        sync(self.connect(self.abstract))

    # 5. Records, and a stream which has none.

    def test_5_two_sends_are_two_records_on_seqpacket_and_stick_together_on_a_stream(self):
        self.serve(self.path, "stream:" + self.at("stream"))
        other = self.connect(self.path)

        def answers(sock, lead):
            """Say PING(1) and PING(2); when both answers are there, receive."""
            for token in (1, 2):
                sock.send(lead + encode([F.PING, token]))
                self.assertTrue(select.select([sock], [], [], harness.DEADLINE_S)[0])
            sync(other)                                 # the broker has had its turn,
            sync(other)                                 # and sent all that it had to say
            return sock.recv(65536)

        pong_1, pong_2 = encode([F.PONG, 1]), encode([F.PONG, 2])
        records = self.open_raw(socket.SOCK_SEQPACKET, self.path)
        self.assertEqual(answers(records, b""), pong_1)         # one recv, one record
        self.assertEqual(records.recv(65536), pong_2)

        stream = self.open_raw(socket.SOCK_STREAM, self.at("stream"))
        length = struct.pack(">BI", 0xce, len(pong_1))          # leads each packet
        sticky = answers(stream, length)
        self.assertEqual(sticky, length + pong_1 + length + pong_2)
        packets = []
        while sticky:                                           # and takes them apart again
            _, count = struct.unpack(">BI", sticky[:5])
            packets.append(sticky[5:5 + count])
            sticky = sticky[5 + count:]
        self.assertEqual(packets, [pong_1, pong_2])

    # 6. A pair of connected sockets, one end for each of two children.

    def test_6_a_socketpair_connects_a_client_and_a_broker_without_any_address(self):
        brokers_end, clients_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        broker = subprocess.Popen(
            [harness.binary("broker"), "--client-fd", str(brokers_end.fileno())],
            pass_fds=[brokers_end.fileno()], stderr=subprocess.PIPE, env=harness.clean_env())
        self.addCleanup(broker.stderr.close)
        self.addCleanup(broker.kill)
        brokers_end.close()                             # the broker has it now

        def talk(child):
            with Session(clients_end) as session:
                session.hello("the other child", with_credentials=True)
                subscribe(session, "a.*")
                session.publish("a.b", b"to myself")
                delivery = session.take(is_delivery)
                # Neither of us connected: HELLO carried who we are, and the broker believes that,
                # not SO_PEERCRED, which names the parent for both ends.
                child.say(f"{delivery.payload.decode()} {delivery.pid}")

        child = self.fork(talk)
        clients_end.close()
        self.assertEqual(child.hear(), f"to myself {child.pid}")
        child.end()
        # Its only client is gone and nobody else can come: it ends, in order.
        self.assertEqual(broker.wait(harness.DEADLINE_S), 0)


if __name__ == "__main__":
    harness.main()
