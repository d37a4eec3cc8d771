"""Requests: who may answer, in what order answers come, and how a request ends without one."""

import json
import os
import signal

import harness
from wire_case import (
    BrokerTest, confirmed, is_delivery, status, subscribe, sync, take_deliveries, take_payloads)
from wire_codec import Code, Err, Flag, Frame as F, Ok, Pong

DAY_MS = 86400000               # so long that no test can be saved by a time-out


class Replies(BrokerTest):
    def setUp(self):
        super().setUp()
        self.asker, self.responder = self.connect(), self.connect()
        subscribe(self.responder, "svc.*")

    def ask(self, payload=b"?", **options):
        """Send a request; return its id, and what its responder received."""
        request_id = self.asker.request("svc.x", payload, timeout_ms=DAY_MS, **options)
        return request_id, self.responder.take(is_delivery)

    def test_a_request_is_answered_by_who_received_it(self):
        request_id, request = self.ask(b"what?", headers={"k": 1})
        self.assertEqual((request.topic, request.payload, request.headers, request.subs),
                         ("svc.x", b"what?", {"k": 1}, [1]))
        self.assertEqual(request.flags, Flag.REQUEST)
        self.assertNotEqual(request.token, 0)
        self.responder.reply(request.token, b"that", headers={"r": None})
        reply = self.asker.answer(request_id)
        self.assertEqual((reply.topic, reply.payload, reply.headers, reply.flags, reply.subs),
                         ("", b"that", {"r": None}, Flag.REPLY, []))
        self.assertEqual(reply[1:5], (self.responder.welcome.session,
                                      harness.pid_said(os.getpid()), os.getuid(), os.getgid()))

    def test_more_replies_come_in_order_until_the_final_one(self):
        request_id, request = self.ask()
        for number in range(200):
            self.responder.reply(request.token, b"%d" % number, more=True)
        self.responder.reply(request.token, b"no", failed=True)
        replies = [self.asker.answer(request_id) for _ in range(201)]
        self.assertEqual([reply.payload for reply in replies[:200]],
                         [b"%d" % number for number in range(200)])
        self.assertEqual({int(reply.flags) for reply in replies[:200]}, {Flag.REPLY | Flag.MORE})
        self.assertEqual(replies[200].flags, Flag.REPLY | Flag.FAILED)

    def test_a_reply_is_confirmed_if_it_asks_for_it(self):
        request_id, request = self.ask()
        ids = [self.responder.reply(request.token, more=True, confirm=True),
               self.responder.reply(request.token, confirm=True),
               self.responder.reply(request.token, confirm=True)]
        self.responder.reply(request.token)
        answers = [self.responder.next_event() for _ in range(4)]
        self.assertEqual(answers[:2], [Ok(ids[0], 1), Ok(ids[1], 1)])
        self.assertEqual([(answer.id, answer.code) for answer in answers[2:]],
                         [(ids[2], Code.BAD_TOKEN), (0, Code.BAD_TOKEN)])
        self.asker.answer(request_id)
        self.asker.answer(request_id)

    def test_nobody_else_can_answer(self):
        observer, stranger = self.connect(), self.connect()
        subscribe(observer, ">", observer=True)
        subscribe(stranger, "other")
        request_id, request = self.ask()
        seen, = take_deliveries(observer, 1)
        self.assertEqual((seen.flags, seen.token), (Flag.REQUEST, 0))
        for intruder in (stranger, observer, self.asker):
            for token in (request.token, request.token + 1, 0, 2**64 - 1):
                answer = intruder.answer(intruder.reply(token, b"fake", confirm=True))
                self.expect_err(answer, Code.BAD_TOKEN)
        self.responder.reply(request.token, b"true")
        self.assertEqual(self.asker.answer(request_id).payload, b"true")
        sync(observer)
        self.assertEqual(observer.pending(), [])    # replies cannot be listened to

    def test_the_first_final_reply_of_whoever_received_it_completes(self):
        second = self.connect()
        subscribe(second, "svc.x")
        request_id, request = self.ask()
        token = second.take(is_delivery).token
        self.assertEqual(second.answer(second.reply(token, b"1", more=True, confirm=True)).value, 1)
        answer = self.responder.answer(self.responder.reply(request.token, b"2", confirm=True))
        self.assertEqual(answer.value, 1)
        self.expect_err(second.answer(second.reply(token, b"3", confirm=True)), Code.BAD_TOKEN)
        self.assertEqual([self.asker.answer(request_id).payload for _ in range(2)], [b"1", b"2"])

    def test_requests_are_told_apart_by_their_ids(self):
        ids = [self.asker.request("svc.x", b"%d" % number, timeout_ms=DAY_MS)
               for number in range(1000)]
        requests = take_deliveries(self.responder, 1000)
        for request in reversed(requests):
            self.responder.reply(request.token, request.payload)
        for number in (0, 999, 500):
            self.assertEqual(self.asker.answer(ids[number]).payload, b"%d" % number)
        sync(self.asker)
        self.assertEqual(len(self.asker.pending()), 997)
        self.assertEqual(status(self.asker)["requests"], 0)

    def test_a_session_may_ask_itself(self):
        subscribe(self.asker, "self")
        request_id = self.asker.request("self", b"me", timeout_ms=DAY_MS)
        request = self.asker.take(is_delivery)
        self.asker.reply(request.token, b"you")
        self.assertEqual(self.asker.answer(request_id).payload, b"you")

    def test_a_request_may_share_its_packet_and_ends_the_scope_of_ingress(self):
        first = self.asker.new_ids(3)
        plain = [F.PUB, 0, "svc.y", {}, b""]
        self.asker.send_frames([F.INGRESS, 1, first], plain, [F.REQUEST, first + 1, DAY_MS],
                               [0x40, "skipped"], plain, plain, [F.INGRESS, 1, first + 2], plain)
        self.asker.ping(1)
        self.assertEqual([self.asker.next_event() for _ in range(3)],
                         [Ok(first, 1), Ok(first + 2, 1), Pong(1)])
        got = take_deliveries(self.responder, 4)
        self.assertEqual([int(event.flags) for event in got], [0, Flag.REQUEST, 0, 0])
        self.responder.reply(got[1].token)
        self.asker.answer(first + 1)

    def test_unsubscribing_does_not_take_the_right_to_reply(self):
        request_id, request = self.ask()
        self.responder.answer(self.responder.unsub(1))
        self.responder.reply(request.token, b"still")
        self.assertEqual(self.asker.answer(request_id).payload, b"still")

    def test_what_is_wrong_with_a_reply_is_answered(self):
        request_id, request = self.ask()
        pub = [F.PUB, 0, "svc.x", {}, b""]
        for frames, code in (([[F.REPLY, request.token, 0, self.responder.new_ids()], pub],
                              Code.BAD_TOPIC),
                             ([[F.REPLY, request.token, 1, self.responder.new_ids()],
                               [F.PUB, 0, "", {}, b""]], Code.UNSUPPORTED),
                             ([[F.REPLY, request.token, 0, self.responder.new_ids()],
                               [F.PUB, 0, "", {"$k": 1}, b""]], Code.BAD_HEADERS)):
            self.responder.send_frames(*frames)
            self.expect_err(self.responder.answer(frames[0][3]), code)
        self.responder.reply(request.token, b"right")
        self.assertEqual(self.asker.answer(request_id).payload, b"right")


class Ends(BrokerTest):
    limits = {"requests": 10}

    def responder_process(self, child, address):
        """Subscribes, answers nothing, and waits to be killed."""
        session = self.connect(address)
        subscribe(session, "svc.x")
        child.say("ready")
        request = session.take(is_delivery)
        session.answer(session.reply(request.token, b"part", more=True, confirm=True))
        child.say("asked")
        session.next_event()

    def test_no_responders_is_told_at_once(self):
        asker, observer = self.connect(), self.connect()
        subscribe(observer, ">", observer=True)
        subscribe(asker, "other")
        answer = asker.answer(asker.request("svc.x", timeout_ms=DAY_MS))
        self.expect_err(answer, Code.NO_RESPONDERS)
        self.assertEqual(take_deliveries(observer, 1)[0].topic, "svc.x")

    def test_a_killed_responder_is_told_at_once_and_behind_its_replies(self):
        asker = self.connect()
        child = self.fork(self.responder_process, self.broker.address)
        child.hear()
        request_id = asker.request("svc.x", timeout_ms=DAY_MS)
        child.hear()
        child.signal(signal.SIGKILL)
        self.assertEqual(asker.answer(request_id).payload, b"part")
        self.expect_err(asker.answer(request_id), Code.RESPONDER_GONE)
        child.end(-signal.SIGKILL)

    def test_a_responder_that_leaves_is_told_when_it_was_the_last(self):
        asker, first, second = self.connect(), self.connect(), self.connect()
        subscribe(first, "svc.x")
        subscribe(second, "svc.x")
        lost = asker.request("svc.x", timeout_ms=DAY_MS)
        first.take(is_delivery)
        token = second.take(is_delivery).token
        first.bye()
        self.expect_bye(first, Code.NONE)
        sync(asker)
        self.assertEqual(asker.pending(), [])
        second.reply(token, b"here", more=True)
        self.assertEqual(asker.answer(lost).payload, b"here")
        second.close()
        self.expect_err(asker.answer(lost), Code.RESPONDER_GONE)

    def test_a_request_that_was_queued_and_not_read_is_lost_with_its_responder(self):
        asker, responder = self.connect(), self.connect()
        subscribe(responder, "svc.x")
        ids = [asker.request("svc.x", timeout_ms=DAY_MS) for _ in range(10)]
        sync(asker)
        responder.close()
        for request_id in ids:
            self.expect_err(asker.answer(request_id), Code.RESPONDER_GONE)

    def test_a_time_out_is_told_and_voids_the_token(self):
        asker, responder = self.connect(), self.connect()
        subscribe(responder, "svc.x")
        request_id = asker.request("svc.x", timeout_ms=300)
        request = responder.take(is_delivery)
        responder.reply(request.token, b"late", more=True)
        self.assertEqual(asker.answer(request_id).payload, b"late")
        self.expect_err(asker.answer(request_id), Code.TIMEOUT)
        answer = responder.answer(responder.reply(request.token, confirm=True))
        self.expect_err(answer, Code.BAD_TOKEN)

    def test_cancel_ends_the_request_and_voids_the_token(self):
        asker, responder = self.connect(), self.connect()
        subscribe(responder, "svc.x")
        request_id = asker.request("svc.x", timeout_ms=DAY_MS)
        request = responder.take(is_delivery)
        responder.cancel(request_id)                # not its own: nothing happens
        sync(responder)
        asker.cancel(request_id)
        self.expect_err(asker.answer(request_id), Code.CANCELLED)
        asker.cancel(request_id)
        sync(asker)
        answer = responder.answer(responder.reply(request.token, confirm=True))
        self.expect_err(answer, Code.BAD_TOKEN)
        self.assertEqual(asker.pending(), [])

    def test_an_asker_that_goes_voids_the_token(self):
        for leave in (lambda session: session.bye(), lambda session: session.close()):
            asker, responder = self.connect(), self.connect()
            subscribe(responder, "svc.x")
            asker.request("svc.x", timeout_ms=DAY_MS)
            request = responder.take(is_delivery)
            leave(asker)
            if asker.state == "leaving":
                self.expect_bye(asker, Code.NONE)
            answer = Ok(0, 1)
            while isinstance(answer, Ok):           # until the broker knows
                answer = responder.answer(responder.reply(request.token, more=True, confirm=True))
            self.expect_err(answer, Code.BAD_TOKEN)
            responder.close()

    def test_open_requests_are_limited(self):
        asker, responder = self.connect(), self.connect()
        subscribe(responder, "svc.x")
        ids = [asker.request("svc.x", timeout_ms=DAY_MS) for _ in range(11)]
        self.expect_err(asker.answer(ids[10]), Code.LIMIT, "requests")
        requests = take_deliveries(responder, 10)
        responder.reply(requests[0].token)
        asker.answer(ids[0])
        ids.append(asker.request("svc.x", timeout_ms=DAY_MS))
        requests.append(responder.take(is_delivery))
        for request, request_id in zip(requests[1:], ids[1:10] + ids[11:]):
            responder.reply(request.token, b"%d" % request_id)
            self.assertEqual(asker.answer(request_id).payload, b"%d" % request_id)

    def test_a_bad_request_is_answered_with_its_id(self):
        asker = self.connect()
        for topic, headers, code in (("a..b", {}, Code.BAD_TOPIC), ("", {}, Code.BAD_TOPIC),
                                     ("a.*", {}, Code.BAD_TOPIC),
                                     ("a", {"$k": 1}, Code.BAD_HEADERS),
                                     ("$no", {}, Code.NO_RESPONDERS),
                                     ("$sys.none", {}, Code.NO_RESPONDERS)):
            self.expect_err(asker.answer(asker.request(topic, headers=headers)), code)

    def test_the_status_report_is_a_reply_of_the_broker(self):
        asker = self.connect(name="it's \"me\"")
        reply = asker.answer(asker.request("$sys.status", timeout_ms=DAY_MS))
        self.assertEqual(reply[1:5], (0, self.broker.pid, os.getuid(), os.getgid()))
        self.assertEqual(reply.flags, Flag.REPLY)
        report = json.loads(reply.payload)
        self.assertEqual(report["clients"][0]["name"], "it's \"me\"")
        for name in ("sessions", "subscriptions", "topics", "published", "delivered", "queued",
                     "parked", "dropped"):
            self.assertIsInstance(report[name], int)


class SlowAskers(BrokerTest):
    limits = {"queue_bytes": 65536}

    def test_replies_never_make_their_responder_wait(self):
        asker, responder, other = self.connect(), self.connect(), self.connect()
        subscribe(responder, "svc.x", "ordinary")
        request_id = asker.request("svc.x", timeout_ms=DAY_MS)
        token = responder.take(is_delivery).token
        sent = 0
        while not isinstance(answer := responder.answer(
                responder.reply(token, bytes(10000), more=True, confirm=True)), Err):
            sent += 1
        self.expect_err(answer, Code.BAD_TOKEN)
        self.assertGreater(sent, 2 * 6)             # twice its backlog at least
        self.assertEqual(confirmed(other, "ordinary"), 1)
        self.assertEqual(take_payloads(responder, 1), [b""])
        for _ in range(sent):
            self.assertEqual(len(asker.answer(request_id).payload), 10000)
        self.expect_err(asker.answer(request_id), Code.LIMIT, "queue_bytes")


if __name__ == "__main__":
    harness.main()
