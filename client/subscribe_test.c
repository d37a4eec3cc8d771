#include "client/fake_broker.h"

#include <errno.h>
#include <string.h>

TEST(subscribe_waits_for_the_brokers_word)
{
        struct notes notes = {.len = 0};
        struct fake f;
        uint32_t sub = 99;

        fake_open(&f);
        fake_say(&f, fake_err(1, WIRE_CODE_REFUSED, "m.>: not for uid 5"));
        fake_send(&f);
        CHECK_EQ(baton_subscribe(f.b, "m.>", NULL, note_message, &notes, &sub), -EACCES);
        CHECK_STR(baton_error(f.b), "@fake: m.>: not for uid 5");
        CHECK_EQ(baton_code(f.b), WIRE_CODE_REFUSED);
        CHECK_EQ(sub, 99);
        CHECK_EQ(fake_expect(&f, WIRE_SUB).sub.id, 1);
        /* Its number is gone for ever. */
        CHECK_EQ(fake_subscribe(&f, "m.>", note_message, &notes), 2);
        fake_deliver(&f, 1, 1, "m.a", "no");
        fake_deliver(&f, 2, 2, "m.a", "yes");
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "m.a=yes;");
        fake_close(&f);
}

TEST(bad_filters_and_options_are_refused_here)
{
        struct baton_subscription ack = {.ack = true}, group = {.group = "a.b"};
        struct baton_subscription fds = {.max_fds = 17}, policy = {.overflow = 9};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe(f.b, "a..b", NULL, note_message, NULL, NULL), -EINVAL);
        CHECK_EQ(baton_subscribe(f.b, ">.a", NULL, note_message, NULL, NULL), -EINVAL);
        CHECK_EQ(baton_subscribe(f.b, "a", NULL, NULL, NULL, NULL), -EINVAL);
        CHECK_EQ(baton_subscribe(f.b, "a", &ack, note_message, NULL, NULL), -EINVAL);
        CHECK_EQ(baton_subscribe(f.b, "a", &group, note_message, NULL, NULL), -EINVAL);
        CHECK_EQ(baton_subscribe(f.b, "a", &fds, note_message, NULL, NULL), -EINVAL);
        CHECK_EQ(baton_subscribe(f.b, "a", &policy, note_message, NULL, NULL), -EINVAL);
        CHECK_EQ(fake_skip(&f, WIRE_SUB), 0);
        fake_close(&f);
}

TEST(options_reach_the_broker)
{
        struct baton_subscription o = {
                .max_fds = 3,
                .observer = true,
                .overflow = BATON_LATEST,
                .queue_bytes = 1000,
                .queue_messages = 10,
                .no_retained = true,
        };
        struct baton_subscription g = {
                .group = "workers", .ack = true, .ack_ms = 500, .max_deliveries = 3};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a.*", &o, note_message, NULL, NULL, NULL), 0);
        struct msg_sub s = fake_expect(&f, WIRE_SUB).sub;
        CHECK(slice_is(s.filter, "a.*"));
        CHECK_EQ(s.max_fds, 3);
        CHECK(s.observer && s.no_retained);
        CHECK_EQ(s.overflow, WIRE_OVERFLOW_LATEST);
        CHECK_EQ(s.queue_bytes, 1000);
        CHECK_EQ(s.queue_messages, 10);
        CHECK_EQ(baton_subscribe_start(f.b, "w", &g, note_message, NULL, NULL, NULL), 0);
        s = fake_expect(&f, WIRE_SUB).sub;
        CHECK(slice_is(s.group, "workers"));
        CHECK(s.ack);
        CHECK_EQ(s.window, 16);
        CHECK_EQ(s.ack_ms, 500);
        CHECK_EQ(s.max_deliveries, 3);
        fake_close(&f);
}

TEST(subscribe_start_tells_the_policy_in_force)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", NULL, note_message, note_done, &notes, NULL), 0);
        /* OK comes before the first publication, and so does its callback. */
        fake_say(&f, fake_ok(1, WIRE_OVERFLOW_DROP_OLDEST, 1));
        fake_say(&f, fake_delivery(1, 1));
        fake_say(&f, fake_pub("a", "1"));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "done 1;a=1;");
        fake_close(&f);
}

TEST(another_policy_than_asked_for_is_told_to_the_log)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        baton_set_log(f.b, note_log, &notes);
        fake_say(&f, fake_ok(1, WIRE_OVERFLOW_DROP_OLDEST, 1));
        fake_send(&f);
        CHECK_EQ(baton_subscribe(f.b, "a", NULL, note_message, NULL, NULL), 0);
        CHECK(strstr(notes.text, "drop-oldest"));
        fake_close(&f);
}

static void note_details(baton *b, const struct baton_message *m, void *arg)
{
        const struct baton_sender *s = &m->sender;

        (void)b;
        note(arg, "%u %s=%.*s seq %d from %d pid %d uid %u gid %u age %d again %u %s;",
                m->subscription, m->topic, (int)m->payload_len, (const char *)m->payload,
                (int)m->seq, (int)s->session, s->pid, s->uid, s->gid, (int)m->age_ms,
                m->redelivered, m->retained ? "retained" : "");
}

TEST(a_message_says_who_sent_it_and_how_it_came)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a.>", note_details, &notes);
        struct message d = fake_delivery(5, sub);
        d.delivery.age_ms = 12;
        d.delivery.redelivered = 2;
        d.delivery.flags = WIRE_DELIVERY_RETAINED;
        fake_say(&f, d);
        fake_say(&f, fake_pub("a.b", "1"));
        fake_say(&f, fake_pub("a.c", "2"));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 2);
        CHECK_STR(notes.text,
                "1 a.b=1 seq 5 from 9 pid 4711 uid 1000 gid 1001 age 12 again 2 retained;"
                "1 a.c=2 seq 6 from 9 pid 4711 uid 1000 gid 1001 age 12 again 2 retained;");
        fake_close(&f);
}

TEST(overlapping_subscriptions_are_each_called_and_the_message_counts_once)
{
        struct notes one = {.len = 0}, two = {.len = 0};
        struct fake f;

        fake_open(&f);
        fake_subscribe(&f, "a.>", note_message, &one);
        fake_subscribe(&f, "*.b", note_message, &two);
        struct message d = fake_delivery(1, 1);
        d.delivery.n_subs = 3;
        d.delivery.subs[1] = 2;
        d.delivery.subs[2] = 77; /* not ours any more */
        fake_say(&f, d);
        fake_say(&f, fake_pub("a.b", "x"));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_STR(one.text, "a.b=x;");
        CHECK_STR(two.text, "a.b=x;");
        fake_close(&f);
}

static void check_headers(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_header h;

        (void)b;
        (void)arg;
        CHECK_EQ(m->n_headers, 3);
        CHECK_EQ(baton_header_at(m, 0, &h), 0);
        CHECK_EQ(h.kind, BATON_INT);
        CHECK_EQ(h.value.i, -5);
        CHECK_EQ(baton_header_at(m, 2, &h), 0);
        CHECK_EQ(h.kind, BATON_STR);
        CHECK_EQ(h.value.bytes.len, 4);
        CHECK_EQ(baton_header_at(m, 3, &h), -ENOENT);
        CHECK_EQ(baton_header_find(m, "on", &h), 0);
        CHECK(h.kind == BATON_BOOL && h.value.boolean);
        CHECK_EQ(baton_header_find(m, "off", &h), -ENOENT);
}

TEST(headers_can_be_walked_and_found)
{
        static const uint8_t map[] = {
                0x83, 0xa1, 'n', 0xfb, 0xa2, 'o', 'n', 0xc3, 0xa1, 's', 0xa4, 't', 'e', 'x', 't'};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", check_headers, NULL);
        struct message m = fake_pub("a", "x");
        m.pub.headers = (struct slice){map, sizeof(map)};
        m.pub.n_headers = 3;
        fake_say(&f, fake_delivery(1, sub));
        fake_say(&f, m);
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 1);
        fake_close(&f);
}

TEST(a_gap_is_told_in_its_place)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        for (int i = 0; i < 2; i++) {
                fake_say(&f, fake_delivery(1, sub));
                fake_say(&f, fake_pub("a", "1"));
                fake_say(&f,
                        (struct message){.type = WIRE_GAP, .gap = {sub, 17, WIRE_GAP_OVERFLOW, 2}});
                fake_say(&f, fake_pub("a", "2"));
                fake_send(&f);
        }
        baton_set_log(f.b, note_log, &notes);
        /* Kept in the inbox or not, it makes no difference. */
        fake_say(&f, (struct message){.type = WIRE_PONG, .number = 2});
        fake_send(&f);
        baton_set_gap(f.b, note_gap, &notes);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "a=1;a lost 17 (overflow);a=2;a=1;a lost 17 (overflow);a=2;");
        baton_set_gap(f.b, NULL, NULL);
        fake_say(&f, (struct message){.type = WIRE_GAP, .gap = {sub, 3, 99, 5}});
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK(strstr(notes.text, "a: 3 messages lost (unknown);"));
        fake_close(&f);
}

TEST(an_unsubscribed_callback_is_called_no_more)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        fake_deliver(&f, 1, sub, "a", "1");
        CHECK_EQ(baton_unsubscribe(f.b, sub), 0);
        struct message m = fake_expect(&f, WIRE_UNSUB);
        CHECK_EQ(m.unsub.sub, sub);
        CHECK_EQ(m.unsub.id, 2);
        CHECK_EQ(baton_unsubscribe(f.b, sub), -ENOENT);
        fake_say(&f, fake_ok(2, 0, 1));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK_STR(notes.text, "");
        fake_close(&f);
}

static void unsubscribe_all(baton *b, const struct baton_message *m, void *arg)
{
        note_message(b, m, arg);
        CHECK_EQ(baton_unsubscribe(b, 1), 0);
        CHECK_EQ(baton_unsubscribe(b, 2), 0);
}

TEST(unsubscribing_inside_a_callback_holds_for_the_same_message)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        fake_subscribe(&f, "a", unsubscribe_all, &notes);
        fake_subscribe(&f, "*", note_message, &notes);
        struct message d = fake_delivery(1, 1);
        d.delivery.n_subs = 2;
        d.delivery.subs[1] = 2;
        fake_say(&f, d);
        fake_say(&f, fake_pub("a", "1"));
        fake_say(&f, fake_pub("a", "2"));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_STR(notes.text, "a=1;");
        CHECK_EQ(fake_skip(&f, WIRE_UNSUB), 2);
        fake_close(&f);
}
