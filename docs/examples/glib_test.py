"""The example on GLib's main loop."""

import harness
from loop_case import LoopTest


class GlibTest(LoopTest):
    service = "glib"

    def test_it_prints_what_others_say_and_ends_by_sigterm(self):
        self.check_it_prints_what_others_say()

    def test_it_outlives_its_broker(self):
        self.check_it_outlives_its_broker()

    def test_it_sleeps_when_there_is_nothing_to_do(self):
        self.check_it_rests()

    def test_it_may_be_there_before_the_broker(self):
        self.check_it_may_be_there_first()


if __name__ == "__main__":
    harness.main()
