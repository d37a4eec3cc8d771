/* What a subscription gives back, and when. */
#include "client/fake_broker.h"

#include <errno.h>

TEST(a_window_is_given_back_half_of_it_at_a_time)
{
        struct baton_subscription o = {.window = 4};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, note_message, NULL, &notes, NULL), 0);
        CHECK_EQ(fake_expect(&f, WIRE_SUB).sub.window, 4);
        fake_deliver(&f, 1, 1, "a", "1");
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(fake_skip(&f, WIRE_CREDIT), 0);
        fake_deliver(&f, 2, 1, "a", "2");
        fake_deliver(&f, 3, 1, "a", "3");
        CHECK_EQ(baton_process(f.b), 2);
        struct message m = fake_expect(&f, WIRE_CREDIT);
        CHECK_EQ(m.credit.what, WIRE_CREDIT_SUB);
        CHECK_EQ(m.credit.id, 1);
        CHECK_EQ(m.credit.amount, 2);
        fake_close(&f);
}

TEST(what_a_gap_tells_gives_its_place_in_the_window_back)
{
        struct baton_subscription o = {.window = 4};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, note_message, NULL, &notes, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_say(&f, (struct message){.type = WIRE_GAP, .gap = {1, 3, WIRE_GAP_EXPIRED, 1}});
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 0);
        struct message m = fake_expect(&f, WIRE_CREDIT);
        CHECK_EQ(m.credit.what, WIRE_CREDIT_SUB);
        CHECK_EQ(m.credit.id, 1);
        CHECK_EQ(m.credit.amount, 3);
        fake_close(&f);
}

TEST(what_is_held_is_given_back_by_release)
{
        struct baton_subscription o = {.group = "g", .window = 2, .hold = true};
        struct notes notes = {.len = 0};
        struct fake f;
        uint32_t sub = 0;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, note_message, NULL, &notes, &sub), 0);
        (void)fake_expect(&f, WIRE_SUB);
        CHECK_EQ(baton_release(f.b, sub), -ENOENT);
        fake_deliver(&f, 1, sub, "a", "1");
        fake_deliver(&f, 2, sub, "a", "2");
        CHECK_EQ(baton_process(f.b), 2);
        CHECK_EQ(fake_skip(&f, WIRE_CREDIT), 0);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(baton_release(f.b, sub), 0);
                CHECK_EQ(baton_flush(f.b, 0), 0);
                struct message m = fake_expect(&f, WIRE_CREDIT);
                CHECK_EQ(m.credit.id, sub);
                CHECK_EQ(m.credit.amount, 1);
        }
        CHECK_EQ(baton_release(f.b, sub), -ENOENT);
        CHECK_EQ(baton_release(f.b, sub + 1), -ENOENT);
        fake_close(&f);
}

static void release_it(baton *b, const struct baton_message *m, void *arg)
{
        int *ret_result = arg;

        *ret_result = baton_release(b, m->subscription);
}

TEST(the_callback_may_release)
{
        struct baton_subscription o = {.window = 1, .hold = true};
        int result = -1;
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, release_it, NULL, &result, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_deliver(&f, 1, 1, "a", "1");
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(result, 0);
        CHECK_EQ(fake_expect(&f, WIRE_CREDIT).credit.amount, 1);
        fake_close(&f);
}

TEST(hold_is_for_what_has_a_window)
{
        static const struct baton_subscription wrong[] = {
                {.hold = true},
                {.hold = true, .queue_messages = 1},
        };
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                CHECK_EQ(baton_subscribe_start(
                                 f.b, "a", &wrong[i], note_message, NULL, &notes, NULL),
                        -EINVAL);
        fake_close(&f);
}

TEST(each_is_acknowledged_when_its_callback_has_returned)
{
        struct baton_subscription o = {.group = "g", .ack = true};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, note_message, NULL, &notes, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_say(&f, fake_delivery(5, 1));
        fake_say(&f, fake_pub("a", "1"));
        fake_say(&f, fake_pub("a", "2"));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 2);
        for (uint64_t seq = 5; seq <= 6; seq++) {
                struct message m = fake_expect(&f, WIRE_ACK);
                CHECK_EQ(m.ack.first, seq);
                CHECK_EQ(m.ack.last, seq);
        }
        CHECK_EQ(fake_skip(&f, WIRE_CREDIT), 0);
        fake_close(&f);
}

/* In the second callback: what has become of the first? */
static void look(baton *b, const struct baton_message *m, void *arg)
{
        struct fake *f = arg;

        (void)b;
        if (m->seq == 6)
                CHECK_EQ(fake_expect(f, WIRE_ACK).ack.first, 5);
}

TEST(what_is_done_is_acknowledged_before_the_next_begins)
{
        struct baton_subscription o = {.group = "g", .ack = true};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, look, NULL, &f, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_say(&f, fake_delivery(5, 1));
        fake_say(&f, fake_pub("a", "1"));
        fake_say(&f, fake_pub("a", "2"));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 2);
        CHECK_EQ(fake_expect(&f, WIRE_ACK).ack.first, 6);
        fake_close(&f);
}

static void leave(baton *b, const struct baton_message *m, void *arg)
{
        int *ret_result = arg;

        *ret_result = baton_unsubscribe(b, m->subscription);
}

TEST(a_callback_that_unsubscribes_has_done_its_work)
{
        struct baton_subscription o = {.group = "g", .ack = true};
        int result = -1;
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, leave, NULL, &result, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_deliver(&f, 5, 1, "a", "1");
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(result, 0);
        CHECK_EQ(fake_expect(&f, WIRE_ACK).ack.first, 5);
        (void)fake_expect(&f, WIRE_UNSUB);
        CHECK_EQ(fake_skip(&f, WIRE_ACK), 0);
        fake_close(&f);
}

static void close_it(baton *b, const struct baton_message *m, void *arg)
{
        int *ret_result = arg;

        (void)m;
        *ret_result = baton_close(b, 0);
}

TEST(a_callback_that_closes_has_done_its_work)
{
        struct baton_subscription o = {.group = "g", .ack = true};
        int result = 0;
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, close_it, NULL, &result, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_deliver(&f, 5, 1, "a", "1");
        (void)!baton_process(f.b);
        CHECK_EQ(fake_expect(&f, WIRE_ACK).ack.first, 5);
        (void)fake_expect(&f, WIRE_BYE);
        fake_close(&f);
}

TEST(between_cork_and_uncork_acknowledgements_are_gathered)
{
        struct baton_subscription o = {.group = "g", .ack = true, .hold = true};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, note_message, NULL, &notes, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        size_t before = f.n_packets;
        baton_cork(f.b);
        for (uint64_t seq = 1; seq <= 10; seq++)
                CHECK_EQ(baton_ack(f.b, subs_receipt(f.b, seq)), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        CHECK_EQ(fake_skip(&f, WIRE_ACK), 10);
        CHECK_EQ(f.n_packets, before + 1);
        fake_close(&f);
}

/* What a callback does with the receipts it gets. */
struct worker {
        int (*say)(baton *b, uint64_t receipt); /* NULL: nothing */
        uint64_t receipts[8];
        int n, result;
};

static void work(baton *b, const struct baton_message *m, void *arg)
{
        struct worker *w = arg;

        w->receipts[w->n++] = m->receipt;
        w->result = w->say ? w->say(b, m->receipt) : 0;
}

static int refuse(baton *b, uint64_t receipt)
{
        return baton_nack(b, receipt, 250);
}

static void deliver(struct fake *f, uint64_t seq, unsigned n)
{
        fake_say(f, fake_delivery(seq, 1));
        while (n--)
                fake_say(f, fake_pub("a", "x"));
        fake_send(f);
        CHECK(baton_process(f->b) > 0);
}

TEST(a_callback_may_refuse_and_then_nothing_is_acknowledged)
{
        struct baton_subscription o = {.group = "g", .ack = true};
        struct worker w = {.say = refuse};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, work, NULL, &w, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        deliver(&f, 5, 1);
        CHECK_EQ(w.result, 0);
        struct message m = fake_expect(&f, WIRE_NACK);
        CHECK_EQ(m.ack.first, 5);
        CHECK_EQ(m.ack.last, 5);
        CHECK_EQ(m.ack.delay_ms, 250);
        CHECK_EQ(fake_skip(&f, WIRE_ACK), 0);
        fake_close(&f);
}

TEST(with_hold_the_application_acknowledges_later_in_any_order)
{
        struct baton_subscription o = {.group = "g", .ack = true, .hold = true};
        struct worker w = {.n = 0};
        uint32_t sub;
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, work, NULL, &w, &sub), 0);
        (void)fake_expect(&f, WIRE_SUB);
        deliver(&f, 5, 3);
        CHECK_EQ(fake_skip(&f, WIRE_CREDIT), 0);
        CHECK_EQ(baton_release(f.b, sub), -EINVAL);
        CHECK_EQ(baton_ack(f.b, w.receipts[2]), 0);
        CHECK_EQ(baton_nack(f.b, w.receipts[0], 0), 0);
        CHECK_EQ(fake_expect(&f, WIRE_ACK).ack.first, 7);
        CHECK_EQ(fake_expect(&f, WIRE_NACK).ack.first, 5);
        CHECK_EQ(baton_ack(f.b, 0), -ENOENT);
        CHECK_EQ(baton_ack(f.b, 6), -ENOENT); /* a number is no receipt */
        fake_close(&f);
}

TEST(a_receipt_is_good_for_its_connection_alone)
{
        struct baton_subscription o = {.group = "g", .ack = true, .hold = true};
        struct worker w = {.n = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_subscribe_start(f.b, "a", &o, work, NULL, &w, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        deliver(&f, 5, 1);
        f.b->epoch++; /* as each connection does */
        CHECK_EQ(baton_ack(f.b, w.receipts[0]), -ENOENT);
        CHECK_EQ(fake_skip(&f, WIRE_ACK), 0);
        fake_close(&f);
}
