"""What the tests of the broker over the wire share: brokers, sessions, shorthands."""

import json
import os
import re
import shutil
import unittest

import harness
from child import DEADLINE_S, Child
from wire_client import Session
from wire_codec import Code, Delivery, Err, Pong

SANITIZER = re.compile(rb"ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|runtime error: ")


def is_delivery(event):
    """For Session.take: any publication."""
    return isinstance(event, Delivery)


def take_deliveries(session, count):
    """Wait for the next `count` publications."""
    return [session.take(is_delivery) for _ in range(count)]


def take_payloads(session, count):
    """The payloads of the next `count` publications."""
    return [delivery.payload for delivery in take_deliveries(session, count)]


def sync(session, token=7):
    """Wait until the broker has read all that was sent; what it had to say before is queued."""
    session.ping(token)
    session.take(lambda event: event == Pong(token))


def subscribe(session, *filters, **options):
    """Subscribe to each filter, wait for the OKs, and return the numbers."""
    first = getattr(session, "last_sub", 0) + 1
    session.last_sub = first + len(filters) - 1
    asked = [session.sub(first + k, text, **options) for k, text in enumerate(filters)]
    for request_id in asked:
        answer = session.answer(request_id)
        if isinstance(answer, Err) or answer.value:
            raise AssertionError(answer)
    return list(range(first, first + len(filters)))


def confirmed(session, topic, payload=b"", **options):
    """Publish, and return the number of receivers, or an Err as it is."""
    answer = session.answer(session.publish(topic, payload, confirm=True, **options))
    return answer if isinstance(answer, Err) else answer.value


def status(session):
    """The broker's report."""
    return json.loads(session.answer(session.request("$sys.status")).payload)


class Broker(harness.Broker):
    """A running broker.

    listen   where; None: at an address and a path of its own; (): at the defaults.
    address  where the test finds it, if it is not the first of those.
    program  a copy of the executable.
    process  how it is started: the options of Popen.
    """

    def __init__(self, *options, listen=None, address=None, limits=None, program="broker",
                 **process):
        options += tuple(f"--limit={name}={value}" for name, value in (limits or {}).items())
        super().__init__(*options)
        self._listen = (self.address, self.path) if listen is None else listen
        self.address = address or self._listen[0]
        self._program, self._options = program, process
        self.start()

    def start(self):
        addresses = [word for address in self._listen for word in ("--listen", address)]
        self.process = harness.popen(self._program, *addresses, *self.options, **self._options)
        self.process.wait_line("ready", "err")
        self.expected_fds = self.count_fds()

    def status(self):
        with Session.connect(self.address, timeout=DEADLINE_S) as session:
            session.hello("status", broker_uid=os.stat(f"/proc/{self.pid}").st_uid)
            return status(session)

    def stop(self):
        super().stop()
        self.check_report()

    def said(self):
        """What it has said on stderr so far."""
        return self.process.err.wait_bytes(0).decode()

    def listening(self):
        """The addresses that it said it serves."""
        return re.findall(r"^broker: listening on (.*)$", self.said(), re.M)

    def check_report(self):
        """No sanitizer may have found anything."""
        said = self.process.err.rest()
        assert not SANITIZER.search(said), said.decode()

    def finish(self):
        """The end of a test: nobody is left, and it ends in order."""
        try:
            if self.is_running():
                self.check()
                self.stop()
        finally:
            self.remove()


class WireTest(unittest.TestCase):
    """Has sessions, children and further brokers; whatever a test opens goes with it."""

    def new_broker(self, *options, **more):
        """Start a broker."""
        broker = Broker(*options, **more)
        self.addCleanup(broker.finish)
        return broker

    def fork(self, function, *args):
        """Start a Child."""
        child = Child(function, *args)
        self.addCleanup(child.kill)
        return child

    def socket(self, address):
        """Connect, without HELLO."""
        session = Session.connect(address, timeout=DEADLINE_S)
        self.addCleanup(session.close)
        return session

    def connect(self, address, name="test", **hello):
        """Open a session; `hello`: further arguments of Session.hello."""
        session = self.socket(address)
        session.hello(name, **hello)
        session.next_event()        # that was WELCOME; session.welcome keeps it
        return session

    def expect_bye(self, session, code, text=""):
        """Read on to the end of the session, which must be this BYE; return what came before."""
        events = list(session)
        self.assertTrue(events, "the session ended without BYE")
        self.assertEqual(type(events[-1]).__name__, "Bye", events[-1])
        self.assertEqual(Code(events[-1].code), code, events[-1])
        self.assertIn(text, events[-1].text)
        return events[:-1]

    def expect_err(self, answer, code, limit=""):
        """The answer must be an Err with this code, a text, and this limit's name."""
        self.assertIsInstance(answer, Err)
        self.assertEqual((Code(answer.code), answer.limit), (code, limit), answer)
        self.assertTrue(answer.text)


class PlaceTest(WireTest):
    """Each test has a directory, and an address (`name`) beside it or in it, of its own."""

    def setUp(self):
        self.directory = harness.short_tmpdir()
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.at("s")
        self.name = harness.new_address(self.directory)

    def at(self, name):
        """A path in the directory."""
        return os.path.join(self.directory, name)

    def serve(self, *addresses, **options):
        """A broker on these addresses; `listen=()`: on its defaults, among them these."""
        address = addresses[0].split("?")[0].split(",")[0]
        return self.new_broker(**{"listen": addresses, "address": address, **options})

    def who(self, broker):
        """A pattern: how another broker names the holder of an address."""
        return re.escape(harness.who(broker.pid, os.getuid()))

    def fails(self, expected, *words, said="", program="broker", **options):
        """A broker with this command line must exit with this status and say so in one line."""
        result = harness.run(program, *words, **options)
        self.assertEqual((result.status, result.out), (expected, b""), (words, result))
        self.assertRegex(result.err.decode(), rf"\A[^\n]*broker: [^\n]*{said}[^\n]*\n\Z", words)


class BrokerTest(WireTest):
    """Each test has a broker of its own, which must be left without a trace of its sessions.

    process    how it is started: the options of Popen.
    """

    limits = {}
    process = {}

    def setUp(self):
        self.broker = self.new_broker(limits=self.limits, **self.process)

    def socket(self, address=None):
        return super().socket(address or self.broker.address)

    def connect(self, address=None, name="test", **hello):
        return super().connect(address, name, **hello)
