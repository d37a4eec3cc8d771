"""The examples that outlive their broker: on epoll, and in the blocking way."""

import re
import signal

import harness
from example_case import ExampleTest
from loop_case import LoopTest


class EpollTest(LoopTest):
    service = "epoll"

    def test_it_prints_what_others_say_and_ends_by_sigterm(self):
        self.check_it_prints_what_others_say()

    def test_it_outlives_its_broker(self):
        self.check_it_outlives_its_broker()

    def test_it_sleeps_when_there_is_nothing_to_do(self):
        self.check_it_rests()

    def test_it_may_be_there_before_the_broker(self):
        self.check_it_may_be_there_first()


class ReconnectTest(ExampleTest):

    def test_what_is_published_meanwhile_is_kept_and_comes_in_order(self):
        program = self.begin("reconnect")
        program.wait_line("got 3")
        self.broker.kill()
        lost = program.wait_line(re.compile(r"lost, ([0-9]+) uncertain: .+"))
        uncertain = int(lost.split()[1])
        self.restart()
        program.wait_line("back, another broker")
        program.wait_line("ready, 0 dropped")
        program.wait_line("got 30")
        program.signal(signal.SIGKILL)
        program.wait()
        numbers = [int(number) for number in re.findall(rb"^got ([0-9]+)$", program.out.rest(),
                                                         re.MULTILINE)]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertLessEqual(numbers[-1] + 1 - len(numbers), uncertain, numbers)

    def test_it_waits_for_its_first_broker(self):
        self.broker.stop()
        program = self.begin("reconnect")
        self.restart()
        program.wait_line("got 0")


if __name__ == "__main__":
    harness.main()
