#include "client/fake_broker.h"

#include <errno.h>
#include <string.h>

static void say_reply(struct fake *f, uint64_t id, uint64_t flags, const char *text)
{
        fake_say(f, fake_reply(id, flags));
        fake_say(f, fake_pub("", text));
        fake_send(f);
}

TEST(a_request_returns_with_its_reply)
{
        struct baton_publication p = {.topic = "svc.time", .payload = "?", .payload_len = 1};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        say_reply(&f, 1, 0, "12:00");
        CHECK_EQ(baton_request(f.b, &p, 2000, note_message, &notes), 0);
        CHECK_STR(notes.text, "=12:00;");
        struct message m = fake_expect(&f, WIRE_REQUEST);
        CHECK_EQ(m.request.id, 1);
        CHECK_EQ(m.request.timeout_ms, 2000);
        CHECK_EQ(m.request.max_fds, 0);
        m = fake_expect(&f, WIRE_PUB);
        CHECK(slice_is(m.pub.topic, "svc.time"));
        fake_close(&f);
}

static void note_flags(baton *b, const struct baton_message *m, void *arg)
{
        note_message(b, m, arg);
        note(arg, "%s%s", m->more ? "more;" : "", m->failed ? "failed;" : "");
}

TEST(all_replies_come_before_the_end)
{
        struct baton_publication p = {.topic = "svc", .reply_fds = 2};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_request_start(f.b, &p, 0, note_flags, note_done, &notes, NULL), 0);
        CHECK_EQ(fake_expect(&f, WIRE_REQUEST).request.max_fds, 2);
        say_reply(&f, 1, WIRE_DELIVERY_MORE, "1");
        say_reply(&f, 1, WIRE_DELIVERY_MORE, "2");
        say_reply(&f, 1, WIRE_DELIVERY_FAILED, "3");
        say_reply(&f, 1, 0, "too late");
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "=1;more;=2;more;=3;failed;done 0;");
        CHECK_EQ(baton_timeout(f.b), -1);
        fake_close(&f);
}

TEST(no_responders_is_told_with_the_brokers_text)
{
        struct baton_publication p = {.topic = "svc.time"};
        struct fake f;

        fake_open(&f);
        fake_say(&f, fake_err(1, WIRE_CODE_NO_RESPONDERS, "svc.time: no responders"));
        fake_send(&f);
        CHECK_EQ(baton_request(f.b, &p, 2000, NULL, NULL), -EHOSTUNREACH);
        CHECK_STR(baton_error(f.b), "@fake: svc.time: no responders");
        fake_say(&f, fake_err(2, WIRE_CODE_RESPONDER_GONE, ""));
        fake_send(&f);
        CHECK_EQ(baton_request(f.b, &p, 2000, NULL, NULL), -EPIPE);
        CHECK_STR(baton_error(f.b), "@fake: RESPONDER_GONE");
        fake_say(&f, fake_err(3, 4242, "bad\x1b[31m"));
        fake_send(&f);
        CHECK_EQ(baton_request(f.b, &p, 2000, NULL, NULL), -EIO);
        CHECK_STR(baton_error(f.b), "@fake: UNKNOWN");
        fake_close(&f);
}

TEST(a_cancelled_request_ends_once_and_hears_no_more)
{
        struct baton_publication p = {.topic = "svc"};
        struct notes notes = {.len = 0};
        struct fake f;
        uint64_t id;

        fake_open(&f);
        CHECK_EQ(baton_request_start(f.b, &p, 0, note_message, note_done, &notes, &id), 0);
        CHECK_EQ(baton_cancel(f.b, id), 0);
        CHECK_EQ(baton_cancel(f.b, id), -ENOENT);
        CHECK_EQ(baton_timeout(f.b), 0);
        say_reply(&f, 1, WIRE_DELIVERY_MORE, "1");
        fake_say(&f, fake_err(1, WIRE_CODE_CANCELLED, ""));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "done -125;");
        CHECK_EQ(fake_skip(&f, WIRE_CANCEL), 1);
        fake_close(&f);
}

static void cancel_it(baton *b, const struct baton_message *m, void *arg)
{
        note_message(b, m, arg);
        CHECK_EQ(baton_cancel(b, 1), 0);
}

TEST(a_request_may_be_cancelled_in_its_own_reply)
{
        struct baton_publication p = {.topic = "svc"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_request_start(f.b, &p, 0, cancel_it, note_done, &notes, NULL), 0);
        say_reply(&f, 1, 0, "1");
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "=1;done -125;");
        fake_close(&f);
}

TEST(an_unanswered_request_ends_by_the_librarys_own_deadline)
{
        struct baton_publication p = {.topic = "svc"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_request_start(f.b, &p, 1, NULL, note_done, &notes, NULL), 0);
        int left = baton_timeout(f.b);
        CHECK(left > 0 && left <= 1 + HANDLE_GRACE_MS);
        while (!notes.len)
                CHECK_EQ(baton_wait(f.b, -1), 0);
        CHECK_STR(notes.text, "done -110;");
        CHECK_EQ(fake_skip(&f, WIRE_CANCEL), 1);
        fake_close(&f);
}

static void answer(baton *b, const struct baton_message *m, void *arg)
{
        CHECK(m->is_request);
        note_message(b, m, arg);
        CHECK_EQ(baton_reply(b, m->token, "pong", 4), 0);
}

TEST(a_responder_replies_with_the_token_it_was_given)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "svc", answer, &notes);
        struct message d = fake_delivery(1, sub);
        d.delivery.flags = WIRE_DELIVERY_REQUEST;
        d.delivery.token = 0x100000005;
        fake_say(&f, d);
        fake_say(&f, fake_pub("svc", "ping"));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(fake_expect(&f, WIRE_REPLY).reply.token, 0x100000005);
        struct message m = fake_expect(&f, WIRE_PUB);
        CHECK_EQ(m.pub.topic.len, 0);
        CHECK(slice_is(m.pub.payload, "pong"));
        CHECK_STR(notes.text, "svc=ping;");
        fake_close(&f);
}

TEST(requests_have_no_flags_and_no_ttl)
{
        struct baton_publication p = {.topic = "svc", .flags = BATON_RETAIN};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_request(f.b, &p, 1, NULL, NULL), -EINVAL);
        p = (struct baton_publication){.topic = "svc", .ttl_ms = 1};
        CHECK_EQ(baton_request(f.b, &p, 1, NULL, NULL), -EINVAL);
        p = (struct baton_publication){.topic = "svc", .reply_fds = 17};
        CHECK_EQ(baton_request(f.b, &p, 1, NULL, NULL), -EINVAL);
        p = (struct baton_publication){.topic = NULL};
        CHECK_EQ(baton_request(f.b, &p, 1, NULL, NULL), -EINVAL);
        fake_close(&f);
}

TEST(messages_are_dispatched_while_a_request_waits)
{
        struct baton_publication p = {.topic = "svc"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        fake_deliver(&f, 1, sub, "a", "1");
        say_reply(&f, 2, 0, "r");
        fake_deliver(&f, 3, sub, "a", "2");
        CHECK_EQ(baton_request(f.b, &p, 2000, note_message, &notes), 0);
        CHECK(!strncmp(notes.text, "a=1;=r;", 7));
        CHECK(run(&f) >= 0);
        CHECK_STR(notes.text, "a=1;=r;a=2;");
        fake_close(&f);
}

/* ---------------------------------------------------------------- inside callbacks */

struct nest {
        struct notes notes;
        struct fake *f;
        bool publishing;
};

static void note_inner_reply(baton *b, const struct baton_message *m, void *arg)
{
        struct nest *n = arg;

        note_message(b, m, &n->notes);
        if (n->publishing)
                CHECK_EQ(baton_publish(b, "t", "12345678", 8), 0);
}

static void request_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_publication p = {.topic = "svc"};
        struct nest *n = arg;

        note(&n->notes, "<%.*s;", (int)m->payload_len, (const char *)m->payload);
        if (m->seq == 1)
                CHECK_EQ(baton_request(b, &p, 2000, note_inner_reply, n), 0);
        note(&n->notes, "%.*s>;", (int)m->payload_len, (const char *)m->payload);
}

TEST(a_request_inside_a_callback_keeps_the_order_of_messages)
{
        struct nest n = {.publishing = false};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", request_inside, &n);
        fake_say(&f, fake_delivery(1, sub));
        fake_say(&f, fake_pub("a", "1"));
        fake_say(&f, fake_pub("a", "2"));
        fake_send(&f);
        fake_deliver(&f, 3, sub, "a", "3");
        say_reply(&f, 2, WIRE_DELIVERY_MORE, "r1");
        fake_deliver(&f, 4, sub, "a", "4");
        say_reply(&f, 2, 0, "r2");
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "<1;=r1;=r2;1>;<2;2>;<3;3>;<4;4>;");
        fake_close(&f);
}

TEST(an_inner_reply_that_arrives_during_an_inner_publish_is_not_lost)
{
        struct nest n = {.publishing = true};
        struct fake f;

        /* Room for the request and one publication: the second waits for credit. */
        fake_open_with(&f, 9 + 16, FAKE_RIGHTS);
        uint32_t sub = fake_subscribe(&f, "a", request_inside, &n);
        fake_deliver(&f, 1, sub, "a", "1");
        say_reply(&f, 2, WIRE_DELIVERY_MORE, "r1");
        say_reply(&f, 2, 0, "r2");
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "<1;=r1;=r2;1>;");
        fake_close(&f);
}

static void say_one(struct fake *f, struct message m)
{
        fake_say(f, m);
        fake_send(f);
}

static void block_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_publication p = {.topic = "t"};
        struct nest *n = arg;

        note(&n->notes, "<%.*s;", (int)m->payload_len, (const char *)m->payload);
        if (m->seq == 1) {
                say_one(n->f, fake_ok(2, 3, 1));
                CHECK_EQ(baton_publish_wait(b, &p, 2000), 3);
                say_one(n->f, fake_ok(3, 0, 1));
                CHECK_EQ(baton_subscribe(b, "late", NULL, note_message, &n->notes, NULL), 0);
                fake_deliver(n->f, 3, 2, "late", "3");
                say_one(n->f, (struct message){.type = WIRE_PONG, .number = 4});
                CHECK_EQ(baton_ping(b, 2000), 0);
                CHECK_EQ(baton_process(b), 0);
                CHECK_EQ(baton_wait(b, 0), 0);
        }
        note(&n->notes, ">;");
}

TEST(blocking_calls_inside_a_callback_get_their_answers_past_the_queue)
{
        struct fake f;
        struct nest n = {.f = &f};

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", block_inside, &n);
        fake_deliver(&f, 1, sub, "a", "1");
        fake_deliver(&f, 2, sub, "a", "2");
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "<1;>;<2;>;late=3;");
        fake_close(&f);
}

static void publish_inside(baton *b, const struct baton_message *m, void *arg)
{
        note_message(b, m, arg);
        CHECK_EQ(baton_publish(b, "t", "12345678", 8), 0);
}

TEST(credit_behind_a_message_in_its_own_packet_reaches_the_callback_that_waits_for_it)
{
        struct baton_publication p = {.topic = "t"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_with(&f, 23, FAKE_RIGHTS);
        uint32_t sub = fake_subscribe(&f, "a", publish_inside, &notes);
        CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
        fake_say(&f, fake_delivery(1, sub));
        fake_say(&f, fake_pub("a", "1"));
        fake_say(&f, fake_ok(2, 1, 1));
        fake_say(&f, fake_credit(16));
        fake_say(&f, fake_pub("a", "2"));
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        CHECK(run(&f) >= 0);
        CHECK_STR(notes.text, "a=1;a=2;done 1;");
        fake_close(&f);
}

TEST(the_error_of_a_request_keeps_its_place_behind_replies_in_the_inbox)
{
        struct baton_publication p = {.topic = "svc"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_with(&f, 8 + 16, FAKE_RIGHTS);
        CHECK_EQ(baton_request_start(f.b, &p, 0, note_message, note_done, &notes, NULL), 0);
        say_reply(&f, 1, WIRE_DELIVERY_MORE, "r1");
        fake_say(&f, fake_err(1, WIRE_CODE_RESPONDER_GONE, ""));
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        CHECK_EQ(baton_publish(f.b, "t", "1234567890", 10), 0);
        CHECK_STR(notes.text, "");
        CHECK(run(&f) >= 0);
        CHECK_STR(notes.text, "=r1;done -32;");
        fake_close(&f);
}
