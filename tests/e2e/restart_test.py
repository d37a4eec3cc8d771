"""A broker that is killed and restarted under load, and one that is stopped for a while.

The program under test is restart_client.c: it says what it was told about each publication, and
what arrived. Moments are random; the seed is printed, and BATON_TEST_SEED gives it back.
"""

import json
import os
import random

import harness

RESTARTS = 10
EVENTS = ["LOST", "BACK other", "READY other"]
SAY_EVERY = 100                 # as in restart_client.c
TICK_MS = 10
STOPPED_MS = 2000


class RestartCase(harness.TestCase):

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("BATON_TEST_SEED") or random.randrange(1 << 32))
        print(f"seed {seed}")
        self.random = random.Random(seed)
        self.told = {"pub": [], "sub": []}
        self.arrived = 0

    def begin(self, *options):
        self.client = self.start(harness.binary("restart_client", "tests/e2e"),
                                 self.broker.address, self.random.randrange(1 << 31), *options)
        self.client.wait_line("begun")

    def hear(self):
        """Take one line that the client says."""
        line = self.client.out.next_line()
        who, _, what = line.partition(" ")
        if who == "arrived":
            self.arrived = int(what)
        elif who in self.told:
            self.told[who].append(what)
        return line

    def hear_until(self, is_there):
        while not is_there():
            self.hear()

    def await_last(self, event):
        """Until it is the last that both handles have told."""
        self.hear_until(lambda: all(told[-1:] == [event] for told in self.told.values()))

    def let_arrive(self, count):
        """Wait until about so many more confirmed publications have arrived."""
        wanted = self.arrived + max(count, SAY_EVERY)
        self.hear_until(lambda: self.arrived >= wanted)

    def say(self, line):
        self.client.stdin.write(line.encode() + b"\n")

    def hold(self):
        """Until the next `say` the client does nothing; then it publishes first of all."""
        self.say("hold")
        while self.hear() != "held":
            pass

    def stop(self):
        """The books of both kinds."""
        self.say("stop")
        sums = {}
        while len(sums) < 2:
            line = self.hear()
            if line.startswith("sums "):
                book = json.loads(line[len("sums "):])
                print(line)
                sums[book["topic"]] = book
        self.assertEqual(self.client.wait(), 0)
        return sums["confirmed"], sums["plain"]

    def check_books(self, confirmed, plain):
        err = self.client.err.rest()[-2000:]
        for book in (confirmed, plain):
            self.assertEqual(book["stray"], 0, err)     # once, in order, and only what was sent
            self.assertEqual(book["none"], 0)
            self.assertEqual(book["dropped"], 0)
        self.assertEqual(confirmed["open"], 0)          # each was told its fate
        self.assertEqual(confirmed["taken_missing"], 0, err)
        self.assertEqual(confirmed["nobody"], confirmed["nobody_missing"])
        self.assertLessEqual(plain["open_missing"], plain["uncertain"], err)


class RestartTest(RestartCase):

    def restart_under_load(self, end):
        self.begin()
        for n in range(1, RESTARTS + 1):
            self.let_arrive(self.random.randrange(3000))
            if is_unnoticed := self.random.random() < 0.5:
                self.hold()
            end()
            if is_unnoticed:
                self.say("go")
            self.await_last("LOST")
            self.broker.start()
            self.hear_until(lambda: all(told == n * EVENTS for told in self.told.values()))
        self.let_arrive(SAY_EVERY)
        confirmed, plain = self.stop()
        self.check_books(confirmed, plain)
        self.assertEqual(self.told, {"pub": RESTARTS * EVENTS, "sub": RESTARTS * EVENTS})
        self.assertGreater(confirmed["taken"], RESTARTS * SAY_EVERY)

    def test_one_that_is_killed_loses_nothing_confirmed_and_the_rest_is_told(self):
        self.restart_under_load(self.broker.kill)

    def test_one_that_is_stopped_by_its_administrator_neither(self):
        self.restart_under_load(self.broker.stop)

    def test_one_that_dies_while_they_come_back_neither(self):
        self.begin()
        for _ in range(RESTARTS):
            self.let_arrive(self.random.randrange(1000))
            self.broker.kill()
            self.await_last("LOST")
            for _ in range(self.random.randrange(4)):
                self.broker.start()
                # BACK and READY of both, or what is still to be told of the one before.
                for _ in range(self.random.randrange(5)):
                    while not self.is_event(self.hear()):
                        pass
                self.broker.kill()
            self.broker.start()
            self.await_last("READY other")
        self.let_arrive(SAY_EVERY)
        self.check_books(*self.stop())
        for told in self.told.values():
            self.assertRegex(" ".join(told), r"\A(LOST BACK other( READY other)? ?)+\Z")

    def is_event(self, line):
        return line.split()[0] in self.told


class StopTest(RestartCase):
    def test_a_broker_that_stands_still_stops_no_loop_and_loses_nothing(self):
        self.begin("--flood")
        self.let_arrive(SAY_EVERY)
        self.broker.pause()
        self.addCleanup(self.broker.go_on)
        # The loop's own timer measures the time: it fires, though everything is full.
        self.say(f"ticks {STOPPED_MS // TICK_MS}")
        while self.hear() != "ticked":
            pass
        self.assertEqual(self.broker.stat()[0], "T")
        self.broker.go_on()
        self.let_arrive(SAY_EVERY)
        confirmed, plain = self.stop()
        self.check_books(confirmed, plain)
        self.assertEqual(self.told, {"pub": [], "sub": []})
        self.assertEqual(plain["open_missing"], 0)
        self.assertEqual(confirmed["taken"] + confirmed["refused"], confirmed["published"])
        self.assertGreater(plain["refused"], 0)         # there was no room, and that was said


if __name__ == "__main__":
    harness.main()
