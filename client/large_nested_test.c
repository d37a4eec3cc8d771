/* Large payloads and callbacks that block, connect anew, or free the handle. */
#include "client/fake_payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { N = 100000, PIECE = 50000 };

struct nest {
        struct notes notes;
        struct fake *f;
        int result; /* of the request inside */
};

static void open_nest(struct fake *f, struct nest *n, baton_message_fn fn, const char *filter)
{
        *n = (struct nest){.f = f};
        fake_open_large(f, 0, 0);
        (void)fake_subscribe(f, filter, fn, n);
}

static void deliver_large(struct fake *f, struct message d, const char *topic)
{
        fake_begin(f, d, topic, N);
        fake_chunks(f, 0, N, PIECE);
        fake_end(f, 0);
}

static void note_inside(baton *b, const struct baton_message *m, void *arg)
{
        note_large(b, m, &((struct nest *)arg)->notes);
}

/* A request for each message with an empty payload; the others are noted. */
static void request_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_publication p = {.topic = "svc"};
        struct nest *n = arg;

        note_large(b, m, &n->notes);
        if (m->payload_len)
                return;
        n->result = baton_request(b, &p, 2000, note_inside, n);
        note(&n->notes, "%d>;", n->result);
}

/* All that is needed lies ready before the callback asks for it: small enough for the socket. */
static void deliver_small(struct fake *f, struct message d, const char *topic, size_t n)
{
        struct message begin = fake_pub(topic, "");
        uint8_t *bytes = payload_make(n);

        begin.type = WIRE_BEGIN;
        fake_say(f, d);
        fake_say(f, begin);
        fake_send(f);
        for (size_t at = 0; at < n; at += 100) {
                fake_say(f, (struct message){.type = WIRE_CHUNK,
                                    .chunk = {bytes + at, size_min(100, n - at)}});
                if (at == 100)
                        fake_say(f, (struct message){.type = WIRE_PING, .number = 9});
                fake_send(f);
        }
        fake_say(f, (struct message){.type = WIRE_END});
        fake_send(f);
        free(bytes);
}

TEST(replies_and_messages_in_chunks_keep_their_order)
{
        struct fake f;
        struct nest n;

        open_nest(&f, &n, request_inside, "a");
        fake_deliver(&f, 1, 1, "a", "");
        deliver_small(&f, fake_delivery(2, 1), "a", 200);
        deliver_small(&f, fake_reply(2, WIRE_DELIVERY_MORE), "", 300);
        deliver_small(&f, fake_delivery(3, 1), "a", 400);
        deliver_small(&f, fake_reply(2, 0), "", 500);
        deliver_small(&f, fake_delivery(4, 1), "a", 600);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "a:0;:300;:500;0>;a:200;a:400;a:600;");
        CHECK_EQ(f.b->in.stored_bytes, 0);
        CHECK_EQ(f.b->in.stored_fds, 0);
        fake_close(&f);
}

static void request_when_done(baton *b, int result, const char *text, void *arg)
{
        struct baton_publication p = {.topic = "svc"};
        struct nest *n = arg;

        (void)text;
        note(&n->notes, "done %d;", result);
        n->result = baton_request(b, &p, 2000, note_inside, n);
        note(&n->notes, "%d>;", n->result);
}

TEST(a_callback_may_block_between_two_chunks_of_a_message)
{
        struct baton_publication p = {.topic = "t"};
        struct message begin = fake_pub("a", "");
        uint8_t *bytes = payload_make(300);
        struct fake f;
        struct nest n;

        begin.type = WIRE_BEGIN;
        open_nest(&f, &n, note_inside, "a");
        CHECK_EQ(baton_publish_confirm(f.b, &p, request_when_done, &n), 0);
        fake_say(&f, fake_delivery(1, 1));
        fake_say(&f, begin);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes, 100}});
        fake_say(&f, fake_ok(2, 1, 1));
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes + 100, 100}});
        fake_send(&f);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes + 200, 100}});
        fake_send(&f);
        fake_say(&f, (struct message){.type = WIRE_END});
        fake_say(&f, fake_delivery(2, 1));
        fake_say(&f, fake_pub("a", ""));
        fake_send(&f);
        deliver_small(&f, fake_reply(3, 0), "", 250);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "done 1;:250;0>;a:300;a:0;");
        free(bytes);
        fake_close(&f);
}

TEST(a_request_that_gives_up_in_the_middle_of_its_reply_leaves_the_rest_behind)
{
        uint8_t *bytes = payload_make(200);
        struct message begin = fake_pub("", "");
        struct fake f;
        struct nest n;

        begin.type = WIRE_BEGIN;
        open_nest(&f, &n, request_inside, "a");
        baton_set_inbox(f.b, 10);
        fake_deliver(&f, 1, 1, "a", "");
        fake_say(&f, fake_reply(2, 0));
        fake_say(&f, begin);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes, 100}});
        fake_send(&f);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes + 100, 100}});
        fake_send(&f);
        /* In the packet of its end the next begins, and a callback blocks behind that. */
        struct baton_publication p = {.topic = "t"};
        CHECK_EQ(baton_publish_confirm(f.b, &p, request_when_done, &n), 0);
        begin = fake_pub("a", "");
        begin.type = WIRE_BEGIN;
        fake_say(&f, (struct message){.type = WIRE_END});
        fake_say(&f, fake_delivery(3, 1));
        fake_say(&f, begin);
        fake_say(&f, fake_ok(2, 0, 1));
        fake_send(&f);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes, 100}});
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(n.result, -ENOBUFS);
        baton_set_inbox(f.b, 1000);
        fake_say(&f, fake_err(4, WIRE_CODE_NO_RESPONDERS, ""));
        fake_send(&f);
        CHECK(run(&f) >= 0);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes + 100, 100}});
        fake_say(&f, (struct message){.type = WIRE_END});
        fake_send(&f);
        CHECK(run(&f) >= 0);
        CHECK(baton_is_connected(f.b));
        CHECK(strstr(n.notes.text, "a:200;"));
        free(bytes);
        fake_close(&f);
}

TEST(the_error_of_a_request_may_come_in_the_middle_of_its_reply)
{
        uint8_t *bytes = payload_make(200);
        struct message begin = fake_pub("", "");
        struct fake f;
        struct nest n;

        begin.type = WIRE_BEGIN;
        open_nest(&f, &n, request_inside, "a");
        fake_deliver(&f, 1, 1, "a", "");
        fake_say(&f, fake_reply(2, 0));
        fake_say(&f, begin);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes, 100}});
        fake_send(&f);
        fake_say(&f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes + 100, 100}});
        fake_say(&f, fake_err(2, WIRE_CODE_TIMEOUT, ""));
        fake_say(&f, (struct message){.type = WIRE_END, .number = 1});
        fake_send(&f);
        deliver_small(&f, fake_delivery(2, 1), "a", 150);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "a:0;-110>;a:150;");
        free(bytes);
        fake_close(&f);
}

TEST(a_placed_reply_reaches_a_request_inside_a_callback)
{
        NEEDS_MEMFD();
        for (int sealed = 0; sealed < 2; sealed++) {
                struct fake f;
                struct nest n;
                open_nest(&f, &n, request_inside, "a");
                size_t fds = test_open_fds();
                fake_deliver(&f, 1, 1, "a", "");
                fake_place(&f, 1, "a", N);
                fake_place_file(&f, fake_reply(2, 0), "", payload_file(N, sealed), N, 1);
                CHECK(run(&f) >= 0);
                CHECK_STR(n.notes.text, sealed ? "a:0;:100000;0>;a:100000;" : "a:0;-5>;a:100000;");
                CHECK_EQ(test_open_fds(), fds);
                CHECK_EQ(payload_maps(), 0);
                fake_close(&f);
        }
}

TEST(a_reply_larger_than_the_inbox_reaches_a_request_inside_a_callback)
{
        struct fake f;
        struct nest n;

        open_nest(&f, &n, request_inside, "a");
        baton_set_inbox(f.b, 1000);
        fake_deliver(&f, 1, 1, "a", "");
        deliver_small(&f, fake_reply(2, 0), "", 5000);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "a:0;:5000;0>;");
        CHECK_EQ(f.b->in.stored_bytes, 0);
        fake_close(&f);
}

static void publish_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct nest *n = arg;

        note_large(b, m, &n->notes);
        if (m->seq == 1)
                CHECK_EQ(baton_publish(b, "t", m->payload, m->payload_len), 0);
}

TEST(a_large_payload_may_be_published_inside_the_callback_that_has_it)
{
        struct fake f;
        struct nest n;

        open_nest(&f, &n, publish_inside, "a");
        deliver_large(&f, fake_delivery(1, 1), "a");
        deliver_small(&f, fake_delivery(2, 1), "a", 150);
        CHECK(run(&f) >= 0);
        struct got got = fake_collect(&f, NULL);
        CHECK_EQ(got.bytes, N);
        CHECK_EQ(got.n_chunks, 2);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "a:100000;a:150;");
        fake_close(&f);
}

static void free_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct nest *n = arg;

        n->f->b = baton_free(b);
        /* What was lent is still there. */
        payload_check(m->payload, 0, m->payload_len);
        note(&n->notes, "freed;");
}

static void request_and_free(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_publication p = {.topic = "svc"};
        struct nest *n = arg;

        (void)m;
        n->result = baton_request(b, &p, 2000, free_inside, n);
}

TEST(a_handle_may_be_freed_in_the_callback_of_a_large_message_or_reply)
{
        for (int i = 0; i < 2; i++) {
                struct fake f;
                struct nest n;
                open_nest(&f, &n, i ? request_and_free : free_inside, "a");
                baton *b = f.b;
                fake_deliver(&f, 1, i ? 1 : 99, "a", "");
                deliver_small(&f, i ? fake_reply(2, 0) : fake_delivery(2, 1), "a", 300);
                deliver_small(&f, fake_delivery(3, 1), "a", 300);
                CHECK_EQ(baton_process(b), -ENOTCONN);
                CHECK_NULL(f.b);
                CHECK_STR(n.notes.text, "freed;");
                CHECK_EQ(n.result, i ? -ENOTCONN : 0);
                fake_close(&f);
        }
}

static void reconnect_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct nest *n = arg;
        struct fake *f = n->f;
        struct link *link;

        note_large(b, m, &n->notes);
        f->link = link_free(f->link);
        CHECK_EQ(baton_ping(b, -1), -ENOTCONN);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f->link), 0);
        fake_say(f, fake_welcome_large(FAKE_WINDOW, 0));
        fake_send(f);
        CHECK_EQ(handle_adopt_link(b, link, "@again", 1000), 0);
        payload_check(m->payload, 0, m->payload_len);
}

TEST(a_handle_may_be_connected_anew_in_the_callback_of_a_large_message)
{
        struct message begin = fake_pub("a", "");
        struct fake f;
        struct nest n;

        begin.type = WIRE_BEGIN;
        open_nest(&f, &n, reconnect_inside, "a");
        deliver_small(&f, fake_delivery(1, 1), "a", 300);
        /* Half of one that belongs to the old session. */
        fake_say(&f, fake_delivery(2, 1));
        fake_say(&f, begin);
        fake_send(&f);
        CHECK(run(&f) >= 0);
        CHECK_STR(baton_address(f.b), "@again");
        (void)fake_expect(&f, WIRE_HELLO);
        uint32_t sub = fake_subscribe(&f, "a", note_inside, &n);
        deliver_small(&f, fake_delivery(1, sub), "a", 200);
        CHECK(run(&f) >= 0);
        CHECK_STR(n.notes.text, "a:300;a:200;");
        fake_close(&f);
}
