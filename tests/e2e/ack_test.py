"""Groups that acknowledge, over the wire: at least once, and in the end to $sys.dead."""

import harness
from fd_case import FdTest, identities
from wire_case import BrokerTest, confirmed, is_delivery, status, subscribe, sync
from wire_codec import Code, Err


class AckTest(BrokerTest):

    limits = {"linger_ms": 60000}

    def member(self, name="member", **options):
        session = self.connect(name=name)
        subscribe(session, "w.*", group="g", ack=True, **options)
        return session

    def take(self, session, payload, redelivered=0):
        delivery = session.take(is_delivery)
        self.assertEqual((delivery.payload, delivery.redelivered), (payload, redelivered))
        return delivery

    def settle(self, session, delivery):
        session.ack(delivery.seq)
        sync(session)

    def test_what_is_acknowledged_is_over(self):
        member, publisher = self.member(window=1), self.connect()
        self.assertEqual([confirmed(publisher, "w.x", b"%d" % n) for n in range(3)], [1, 1, 1])
        for n in range(3):
            self.settle(member, self.take(member, b"%d" % n))
        report = status(publisher)
        self.assertEqual((report["waiting"], report["unacknowledged"], report["returned"]),
                         (0, 0, 0))

    def test_what_a_lost_member_had_goes_to_another(self):
        member, publisher = self.member(), self.connect()
        for n in range(3):
            publisher.publish("w.x", b"%d" % n)
        first = [self.take(member, b"%d" % n) for n in range(3)]
        self.settle(member, first[1])
        other = self.member()
        member.close()
        self.settle(other, self.take(other, b"0", redelivered=1))
        self.settle(other, self.take(other, b"2", redelivered=1))

    def test_a_service_of_one_finds_it_again_when_it_comes_back(self):
        member, publisher = self.member(), self.connect()
        publisher.publish("w.x", b"0")
        self.take(member, b"0")
        member.close()
        sync(publisher)
        self.assertEqual(confirmed(publisher, "w.x", b"1"), 1)
        member = self.member()
        self.settle(member, self.take(member, b"0", redelivered=1))
        self.settle(member, self.take(member, b"1"))

    def test_what_is_refused_or_late_comes_again_and_then_goes_to_sys_dead(self):
        dead, publisher = self.connect(), self.connect()
        subscribe(dead, "$sys.dead")
        member = self.member(ack_ms=50, max_deliveries=3)
        publisher.publish("w.x", b"poison", headers={"n": 1})
        member.nack(self.take(member, b"poison").seq)
        member.nack(self.take(member, b"poison", redelivered=1).seq, delay_ms=20)
        self.take(member, b"poison", redelivered=2)     # and its time passes
        delivery = dead.take(is_delivery)
        self.assertEqual((delivery.topic, delivery.payload), ("$sys.dead", b"poison"))
        self.assertEqual(delivery.headers,
                         {"$topic": "w.x", "$group": "g", "$deliveries": 3, "n": 1})
        report = status(publisher)
        self.assertEqual((report["dead"], report["returned"], report["waiting"]), (1, 3, 0))

    def test_other_options_are_another_group(self):
        self.member(ack_ms=1000)
        session = self.connect()
        answer = session.answer(session.sub(1, "w.*", group="g", ack=True, ack_ms=2000))
        self.assertIsInstance(answer, Err)
        self.expect_err(answer, Code.DUPLICATE)


class DescriptorsTest(FdTest):

    limits = {"linger_ms": 60000}

    def test_they_survive_the_death_of_a_member(self):
        first = self.connect()
        subscribe(first, "w", group="g", ack=True, max_fds=2)
        fds = self.files(2)
        self.publisher.publish("w", b"fds", fds=fds)
        wanted = identities(fds)
        self.assertEqual(identities(self.take(first).fds), wanted)
        first.close()
        second = self.connect()
        subscribe(second, "w", group="g", ack=True, max_fds=2)
        delivery = self.take(second)
        self.assertEqual((identities(delivery.fds), delivery.redelivered), (wanted, 1))
        second.ack(delivery.seq)
        sync(second)
        self.assertEqual(status(second)["descriptors"], 0)


if __name__ == "__main__":
    harness.main()
