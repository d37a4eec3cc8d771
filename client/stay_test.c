/* A handle that stays connected: what happens to what it had, and to what is asked meanwhile. */
#include "client/fake_house.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

TEST(the_application_is_told_what_happens_to_the_connection)
{
        struct house h;

        house_begin(&h, 0);
        int fd = baton_fd(h.f.b);
        CHECK(fd >= 0);
        house_lose(&h, "LOST;");
        CHECK_STR(h.text, "./broker.sock: the broker is gone");
        CHECK_EQ(baton_fd(h.f.b), -1);
        CHECK(baton_timeout(h.f.b) >= 0 && baton_timeout(h.f.b) <= 2);
        CHECK(!baton_is_connected(h.f.b));
        house_return(&h);
        house_await(&h, "BACK other;READY other;");
        house_lose(&h, "LOST;");
        house_enter(&h); /* the same one */
        house_await(&h, "BACK;READY;");
        CHECK(!baton_is_away(h.f.b));
        house_close(&h);
}

TEST(subscriptions_are_made_again_in_their_order_with_their_options)
{
        struct baton_subscription o = {
                .max_fds = 3, .observer = true, .queue_bytes = 5000, .window = 9};
        struct house h;
        uint32_t a = 0, b = 0, c = 0;

        house_begin(&h, 0);
        a = fake_subscribe(&h.f, "a.>", note_message, &h.notes);
        b = fake_subscribe(&h.f, "b.*", note_message, &h.notes);
        CHECK_EQ(baton_subscribe_start(h.f.b, "c", &o, note_message, NULL, &h.notes, &c), 0);
        (void)fake_expect(&h.f, WIRE_SUB);
        fake_say(&h.f, fake_ok(h.f.b->ops.next_id - 1, 0, 1));
        fake_send(&h.f);
        house_turn(&h, house_welcome(&h));
        CHECK_EQ(baton_unsubscribe(h.f.b, b), 0);
        house_lose(&h, "LOST;");
        house_return(&h);
        struct message m = fake_expect(&h.f, WIRE_SUB);
        CHECK_EQ(m.sub.sub, a);
        CHECK(slice_is(m.sub.filter, "a.>"));
        uint64_t id = m.sub.id;
        m = fake_expect(&h.f, WIRE_SUB);
        CHECK_EQ(m.sub.sub, c);
        CHECK_EQ(m.sub.max_fds, 3);
        CHECK_EQ(m.sub.queue_bytes, 5000);
        CHECK_EQ(m.sub.window, 9);
        CHECK(m.sub.observer);
        CHECK(!fake_next(&h.f, &m));
        house_await(&h, "BACK other;");
        fake_say(&h.f, fake_ok(id, 0, 2));
        fake_send(&h.f);
        house_await(&h, "READY other;");
        fake_deliver(&h.f, 1, c, "c", "x");
        house_await(&h, "c=x;");
        house_close(&h);
}

TEST(the_window_of_a_subscription_begins_anew)
{
        struct baton_subscription o = {.window = 4};
        struct message m;
        struct house h;
        uint32_t sub = 0;

        house_begin(&h, 0);
        CHECK_EQ(baton_subscribe_start(h.f.b, "a", &o, note_message, NULL, &h.notes, &sub), 0);
        fake_deliver(&h.f, 1, sub, "a", "1"); /* one of four, not given back yet */
        house_await(&h, "a=1;");
        house_lose(&h, "LOST;");
        house_return(&h);
        (void)fake_expect(&h.f, WIRE_SUB);
        house_await(&h, "BACK other;");
        fake_deliver(&h.f, 1, sub, "a", "2");
        house_await(&h, "a=2;");
        CHECK(!fake_next(&h.f, &m));
        fake_deliver(&h.f, 2, sub, "a", "3");
        house_await(&h, "a=3;");
        CHECK_EQ(fake_expect(&h.f, WIRE_CREDIT).credit.amount, 2);
        house_close(&h);
}

TEST(the_broker_is_asked_what_was_missed)
{
        struct message welcome;
        struct house h;

        house_begin(&h, 0);
        CHECK_EQ(h.resumes, 0);
        uint32_t sub = fake_subscribe(&h.f, "a", note_message, &h.notes);
        for (uint64_t seq = 1; seq <= 3; seq++)
                fake_deliver(&h.f, seq, sub, "a", "x");
        house_lose(&h, "a=x;a=x;a=x;LOST;");
        house_enter(&h);
        welcome = house_welcome(&h);
        welcome.welcome.has_missed = true;
        welcome.welcome.missed = 5;
        while (!baton_is_connected(h.f.b))
                house_turn(&h, welcome);
        CHECK_EQ(h.resumes, 7);
        CHECK_EQ(h.resume_seq, 3);
        house_await(&h, "BACK missed 5;");
        house_lose(&h, "LOST;");
        house_enter(&h);
        house_meet(&h); /* which it does not say: it is long ago */
        CHECK_EQ(h.resume_seq, 0);
        house_await(&h, "BACK;");
        house_close(&h);
}

TEST(messages_of_the_old_connection_come_before_its_end)
{
        struct house h;

        house_begin(&h, 0);
        uint32_t sub = fake_subscribe(&h.f, "a", note_message, &h.notes);
        fake_deliver(&h.f, 1, sub, "a", "1");
        fake_deliver(&h.f, 2, sub, "a", "2");
        house_lose(&h, "a=1;a=2;LOST;");
        house_close(&h);
}

TEST(what_was_under_way_ends_and_the_text_says_that_nobody_knows)
{
        struct baton_publication p = {.topic = "t"};
        struct house h;

        house_begin(&h, 0);
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        CHECK_EQ(baton_request_start(h.f.b, &p, 0, NULL, house_done, &h, NULL), 0);
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        house_lose(&h, "LOST uncertain 1;done -107;done -107;");
        CHECK_STR(h.text, "./broker.sock: the broker is gone (whether this arrived is not known)");
        CHECK_EQ(baton_request_start(h.f.b, &p, 0, NULL, house_done, &h, NULL), -ENOTCONN);
        CHECK_STR(baton_error(h.f.b), "./broker.sock: the broker is gone; trying to come back");
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(baton_reply(h.f.b, 1, "", 0), -ENOTCONN);
        CHECK_EQ(baton_ping(h.f.b, 0), -ENOTCONN);
        CHECK_EQ(baton_flush(h.f.b, 0), -ENOTCONN);
        house_close(&h);
}

TEST(what_the_broker_has_taken_is_not_uncertain)
{
        struct house h;

        house_begin(&h, 0);
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 3);
        fake_refund(&h.f);
        house_turn(&h, house_welcome(&h)); /* the first mark: behind these three */
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        fake_refund(&h.f);
        house_turn(&h, house_welcome(&h));
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        house_lose(&h, "LOST uncertain 2;");
        house_close(&h);
}

TEST(subscribing_and_unsubscribing_go_on_while_it_is_away)
{
        struct house h;
        uint32_t a = 0, b = 0, c = 0;

        house_begin(&h, 0);
        a = fake_subscribe(&h.f, "a", note_message, &h.notes);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_unsubscribe(h.f.b, a), 0);
        CHECK_EQ(baton_subscribe_start(h.f.b, "b", NULL, note_message, house_done, &h, &b), 0);
        CHECK_EQ(baton_subscribe_start(h.f.b, "c", NULL, note_message, house_done, &h, &c), 0);
        CHECK_EQ(baton_unsubscribe(h.f.b, b), 0);
        house_await(&h, "done -125;");
        house_return(&h);
        struct message m = fake_expect(&h.f, WIRE_SUB);
        CHECK_EQ(m.sub.sub, c);
        uint64_t id = m.sub.id;
        CHECK(!fake_next(&h.f, &m));
        fake_say(&h.f, fake_ok(id, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;done 0;READY other;");
        house_close(&h);
}

TEST(a_subscription_that_is_refused_now_is_told_and_gone)
{
        struct house h;

        house_begin(&h, 0);
        uint32_t a = fake_subscribe(&h.f, "a", note_message, &h.notes);
        uint32_t b = fake_subscribe(&h.f, "b", note_message, &h.notes);
        house_lose(&h, "LOST;");
        house_return(&h);
        uint64_t id = fake_expect(&h.f, WIRE_SUB).sub.id;
        fake_say(&h.f, fake_err(id, WIRE_CODE_REFUSED, "not for you"));
        fake_say(&h.f, fake_ok(id + 1, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;DENIED a -13;READY other;");
        CHECK_EQ(baton_unsubscribe(h.f.b, a), -ENOENT);
        CHECK_EQ(baton_unsubscribe(h.f.b, b), 0);
        house_close(&h);
}

TEST(a_handle_that_is_refused_itself_is_gone)
{
        struct house h;

        house_begin(&h, 1000);
        CHECK_EQ(baton_subscribe_start(h.f.b, "a", NULL, note_message, house_done, &h, NULL), 0);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        house_enter(&h);
        while (h.notes.len == 0)
                house_turn(&h, fake_bye(WIRE_CODE_REFUSED, "not any more"));
        house_await(&h, "GONE -13 dropped 1;done -107;process -13;");
        CHECK_STR(h.text, "./broker.sock: not any more");
        CHECK_EQ(baton_process(h.f.b), -ENOTCONN);
        CHECK(!baton_is_away(h.f.b));
        house_close(&h);
}

TEST(a_broker_that_greets_with_nonsense_is_tried_again)
{
        struct house h;

        house_begin(&h, 0);
        house_lose(&h, "LOST;");
        house_enter(&h);
        for (int i = 0; i < 3; i++) {
                while (!h.f.link)
                        house_turn(&h, fake_credit(1));
                CHECK_EQ(baton_process(h.f.b), 0);
                h.f.link = link_free(h.f.link);
                h.f.at = h.f.end = NULL;
        }
        house_await(&h, "BACK;READY;");
        house_close(&h);
}

/* ---------------------------------------------------------------- inside its callbacks */

static void free_in_event(baton *b, const struct baton_event *e, void *arg)
{
        struct house *h = arg;

        house_event(b, e, arg);
        if (e->change == (enum baton_change)h->n_done)
                h->f.b = baton_free(b);
}

TEST(the_handle_may_be_freed_in_any_event)
{
        for (int change = BATON_LOST; change <= BATON_READY; change++) {
                struct house h;
                house_begin(&h, 1000);
                (void)fake_subscribe(&h.f, "a", note_message, &h.notes);
                h.n_done = change;
                CHECK_EQ(baton_set_reconnect(h.f.b,
                                 &(struct baton_reconnect){
                                         .keep_bytes = 1000, .on_event = free_in_event, .arg = &h}),
                        0);
                house_leave(&h);
                while (h.f.b && !baton_is_away(h.f.b)) {
                        int r = baton_process(h.f.b);
                        CHECK(r == 0 || !h.f.b);
                }
                if (h.f.b) {
                        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
                        house_enter(&h);
                        house_meet(&h);
                        fake_say(&h.f, fake_ok(h.f.b->ops.next_id - 1, 0, 1));
                        fake_send(&h.f);
                }
                while (h.f.b) {
                        int r = baton_process(h.f.b);
                        CHECK(r == 0 || !h.f.b);
                }
                house_close(&h);
        }
}

static void stop_in_event(baton *b, const struct baton_event *e, void *arg)
{
        house_event(b, e, arg);
        CHECK_EQ(baton_set_reconnect(b, NULL), 0);
}

TEST(reconnecting_may_be_switched_off_in_an_event)
{
        struct house h;

        house_begin(&h, 1000);
        CHECK_EQ(baton_set_reconnect(
                         h.f.b, &(struct baton_reconnect){.on_event = stop_in_event, .arg = &h}),
                0);
        house_leave(&h);
        house_await(&h, "LOST;process -107;");
        CHECK_EQ(baton_fd(h.f.b), -1);
        CHECK(!baton_is_away(h.f.b));
        house_close(&h);
}

TEST(bad_options_are_refused)
{
        struct house h;

        house_open(&h);
        CHECK_EQ(baton_set_reconnect(h.f.b, &(struct baton_reconnect){.first_ms = 501}), -EINVAL);
        CHECK_EQ(baton_set_reconnect(h.f.b, &(struct baton_reconnect){.first_ms = 500}), 0);
        CHECK_EQ(baton_set_reconnect(h.f.b, NULL), 0);
        CHECK(!baton_is_away(h.f.b));
        house_close(&h);
}

TEST(without_an_event_callback_the_log_is_told)
{
        struct house h;

        house_open(&h);
        house_enter(&h);
        baton_set_log(h.f.b, note_log, &h.notes);
        CHECK_EQ(baton_set_reconnect(h.f.b, &(struct baton_reconnect){.most_ms = 100}), 0);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, NULL, NULL), 0);
        house_meet(&h);
        house_await(&h, "./broker.sock: ready;");
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        house_leave(&h);
        house_await(&h, "./broker.sock: the broker is gone; up to 1 publications may not have "
                        "arrived;");
        house_close(&h);
}
