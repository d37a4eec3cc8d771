"""What `sub` does when its broker is lost, and comes back, or another does in its place."""

import json
import os
import re
import signal
import socket
import threading

import harness
from fake_broker import FakeBroker
from wire_codec import Code, Frame
from wire_socket import new_socket, socket_name


def forget(address):
    """Make room for another listener, where one ended without removing its socket."""
    name = socket_name(address)
    if os.path.exists(name):
        os.unlink(name)


class Door:
    """Listens where a broker was; hangs up on whoever comes, and counts them."""

    def __init__(self, address):
        forget(address)
        self._listener = new_socket(address)
        self._listener.bind(socket_name(address))
        self._listener.listen(4)
        self._count = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                self._listener.accept()[0].close()
            except OSError:
                return                  # it was shut down
            self._count += 1

    def close(self):
        """Return how many came."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(harness.DEADLINE_S)
        self._listener.close()
        return self._count


class ReconnectTest(harness.TestCase):

    def come_back(self, sub):
        self.broker.start()
        sub.wait_line(f"sub: reconnected to {self.broker.address}", "err")
        sub.wait_line("ready", "err")

    def test_a_killed_broker_is_waited_for(self):
        sub = self.start_ready("sub", "a.>", "b")
        self.expect(0, "pub", "a.x", "before")
        sub.wait_line("a.x before")
        self.broker.kill()
        sub.wait_line(re.compile(rf"sub: {self.broker.address}: .+; reconnecting"), "err")
        self.come_back(sub)
        self.expect(0, "pub", "a.x", "after")
        self.expect(0, "pub", "b", "too")
        self.assertEqual([sub.out.next_line() for _ in range(2)], ["a.x after", "b too"])

    def test_a_broker_that_was_stopped_is_waited_for_and_json_tells(self):
        sub = self.start_ready("sub", "--json", "a")
        self.broker.stop()
        sub.wait_line(re.compile(rf"sub: {self.broker.address}: .+; reconnecting"), "err")
        self.come_back(sub)
        self.expect(0, "pub", "a", "x")
        self.assertEqual(json.loads(sub.out.next_line()),
                         {"event": "reconnected", "instance_changed": True})
        self.assertEqual(json.loads(sub.out.next_line())["payload"], "x")

    def test_tries_go_on_and_count_into_the_time_given(self):
        sub = self.start_ready("sub", "-w", "1.5", "-n", "1", "a")
        self.broker.kill()
        door = Door(self.broker.address)
        result = sub.result()
        self.assertEqual(result.status, 4)
        tries = door.close()
        self.assertGreaterEqual(tries, 2)
        self.assertLess(tries, 15)                  # further and further apart

    def test_sigterm_ends_the_waiting(self):
        sub = self.start_ready("sub", "a")
        self.broker.kill()
        sub.wait_line(re.compile(".*reconnecting"), "err")
        sub.signal(signal.SIGTERM)
        self.assertEqual(sub.wait(), 0)

    def test_a_reader_gone_while_waiting_ends_it_too(self):
        read, write = os.pipe()
        sub = self.start_ready("sub", "a", stdout=write)
        os.close(write)
        self.broker.kill()
        sub.wait_line(re.compile(".*reconnecting"), "err")
        os.close(read)
        self.assertEqual(sub.wait(), 0)


class RefusingBroker(FakeBroker):
    """Says no to what arrives in frames of one kind."""

    def __init__(self, address, kind, code=Code.REFUSED):
        self._kind, self._code = kind, code
        super().__init__(address)

    def _answer(self, frames):
        for frame in frames:
            if frame[0] != self._kind:
                super()._answer([frame])
            elif frame[0] == Frame.HELLO or self._code == Code.SHUTDOWN:
                self.bye(self._code, "not any more")
            else:
                self.send([Frame.ERR, frame[1], int(self._code), "not any more"])


class AnotherBrokerTest(harness.TestCase):
    """Brokers that are played by the test, one after the other at the same address."""

    def setUp(self):
        super().setUp()
        self.address = self.broker.address + "-fake"
        self.published = []             # by whom, and what

    def on_publication(self, broker, frame, confirm):
        self.published.append((broker, frame[2], frame[4]))
        broker.send([Frame.OK, confirm, 0])

    def begin(self, *arguments):
        """A `sub` that lost the first of them. Returns both."""
        first = FakeBroker(self.address, on_publication=self.on_publication)
        sub = self.start("sub", "-a", self.address, "-v", *arguments, "a")
        sub.wait_line("ready", "err")
        first.close()
        forget(self.address)
        sub.wait_line(re.compile(rf"sub: {self.address}: .+; reconnecting"), "err")
        return sub, first

    def test_a_will_is_made_again(self):
        sub, first = self.begin("--will", "w=gone")
        second = FakeBroker(self.address, on_publication=self.on_publication)
        self.addCleanup(second.close)
        sub.wait_line(f"sub: reconnected to {self.address}", "err")
        self.assertEqual(self.published, [(first, "w", b"gone"), (second, "w", b"gone")])

    def check_refused(self, kind, line):
        sub, _ = self.begin()
        second = RefusingBroker(self.address, kind)
        self.addCleanup(second.close)
        result = sub.result()
        self.assertEqual(result.status, 5, result)
        self.assertEqual(result.err.decode().splitlines()[-1], line)
        self.assertNotIn(b"reconnected", result.err)

    def test_a_filter_that_is_refused_now_ends_it(self):
        self.check_refused(Frame.SUB, "sub: a: not any more")

    def test_being_refused_itself_ends_it(self):
        self.check_refused(Frame.HELLO, f"sub: {self.address}: not any more")

    def test_one_that_goes_before_it_has_confirmed_is_no_broker(self):
        broker = RefusingBroker(self.address, Frame.SUB, Code.SHUTDOWN)
        self.addCleanup(broker.close)
        result = self.run_tool("sub", "-a", self.address, "a")
        self.assertEqual(result.status, 3, result)
        self.assertNotIn(b"reconnecting", result.err)


if __name__ == "__main__":
    harness.main()
