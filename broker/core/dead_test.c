/* What has failed too often goes to $sys.dead. */
#include "broker/core/fake.h"
#include "proto/wire/headers.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

static const struct fake_ack TWICE = {.max_deliveries = 2, .max_fds = 16};

/* Lets `c`, the only member, fail until it comes no more. */
static void exhaust(struct client *c)
{
        uint64_t before;

        do {
                before = c->last_seq;
                fake_refuse(c, 1, before, 0);
        } while (c->last_seq != before);
        fake_forget(c);
}

static void expect_header(const struct got *g, const char *key, const char *value)
{
        struct slice map = g->m.pub.headers;
        struct reader r = {map.data, map.data + map.len};
        struct header h;
        uint32_t n;

        CHECK_EQ(read_map(&r, &n), 0);
        while (n--) {
                CHECK_EQ(headers_next(&r, &h), 0);
                if (!slice_is(h.key, key))
                        continue;
                CHECK(slice_is(h.value.bytes, value));
                return;
        }
        fail_msg("no header %s", key);
}

TEST(what_failed_too_often_goes_to_sys_dead_with_where_it_failed)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *dead = fake_open(&f);

        fake_sub(dead, 1, "$sys.dead");
        fake_member(a, 1, "w.*", "g", &TWICE);
        /* PUB "w.x" {n: 1} "!" */
        say_bytes(pub, "95 10 00 a3 77 2e 78 81 a1 6e 01 c4 01 21");
        fake_go(pub);
        expect_again(a, "w.x", "!", 0);
        fake_refuse(a, 1, 1, 0);
        expect_again(a, "w.x", "!", 1);
        expect_nothing(dead);
        fake_refuse(a, 2, 2, 0);
        expect_nothing(a);
        const struct got *g = expect_pub(dead, "$sys.dead", "!");
        expect_header(g, "$topic", "w.x");
        expect_header(g, "$group", "g");
        CHECK_EQ(g->m.pub.n_headers, 4);            /* and $deliveries */
        CHECK_EQ(g->delivery.session, pub->number); /* who sent it */
        CHECK_EQ(fake_report(&f, "dead"), 1);
        CHECK_EQ(fake_report(&f, "unacknowledged"), 0);
        fake_deinit(&f);
}

TEST(whoever_makes_its_members_die_ends_there_too)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *dead = fake_open(&f);

        fake_sub(dead, 1, "$sys.dead");
        for (uint64_t i = 0; i < 2; i++) {
                struct client *a = fake_open(&f);
                fake_member(a, 1, "w", "g", &TWICE);
                if (i == 0)
                        fake_pub(pub, "w", "poison");
                expect_again(a, "w", "poison", i);
                fake_close(a);
        }
        expect_pub(dead, "$sys.dead", "poison");
        fake_deinit(&f);
}

TEST(with_nobody_there_it_is_counted)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_member(a, 1, "w", "g", &TWICE);
        fake_pub(pub, "w", "x");
        exhaust(a);
        CHECK_EQ(fake_report(&f, "dead"), 1);
        fake_deinit(&f);
}

TEST(a_request_that_failed_too_often_ends)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f), *dead = fake_open(&f);

        fake_sub(dead, 1, "$sys.dead");
        fake_member(a, 1, "w", "g", &TWICE);
        CHECK(fake_ask(asker, 1, 0, "w", a));
        exhaust(a);
        expect_err(asker, 1, WIRE_CODE_RESPONDER_GONE);
        const struct got *g = expect_pub(dead, "$sys.dead", "?");
        CHECK_EQ(g->delivery.token, 0);
        CHECK_EQ(g->delivery.flags, 0);
        fake_deinit(&f);
}

TEST(descriptors_go_with_it_and_count_once)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *dead = fake_open(&f);

        fake_sub_fds(dead, 1, "$sys.dead", 16);
        fake_member(a, 1, "w", "g", &TWICE);
        dead->room = 0;
        say_fds(pub, "w", 3, "fd");
        fake_send(pub, 3);
        exhaust(a);
        CHECK_EQ(fake_report(&f, "descriptors"), 3);
        fake_room(dead, SIZE_MAX);
        CHECK_EQ(expect_pub(dead, "$sys.dead", "fd")->n_fds, 3);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_bury(&f);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(a_placed_payload_stays_so)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open_memfd(&f), *dead = fake_open_memfd(&f);

        fake_sub(dead, 1, "$sys.dead");
        fake_member(a, 1, "w", "g", &TWICE);
        fake_placed(pub, "w", 1, 100000);
        exhaust(a);
        expect_large(dead, "$sys.dead", 1, 100000);
        fake_deinit(&f);
}

/* A publication that fills a frame has no room for headers. */
static void send_full_frame(struct client *c, uint32_t n_fds)
{
        static uint8_t payload[WIRE_FRAME_BYTES - 10];
        struct message m = {
                .type = WIRE_PUB,
                .pub = {.n_fds = n_fds,
                        .topic = {(const uint8_t *)"w", 1},
                        .payload = {payload, sizeof(payload)}},
        };

        fake_pattern(9, 0, payload, sizeof(payload));
        say(c, &m);
        CHECK(c->packet.len > WIRE_FRAME_BYTES - 10 && c->packet.len <= WIRE_FRAME_BYTES);
        if (n_fds)
                fake_send(c, n_fds);
        else
                fake_go(c);
}

TEST(what_does_not_fit_a_frame_any_more_is_placed)
{
        for (uint32_t n_fds = 0; n_fds < 3; n_fds += 2) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f);
                struct client *dead = fake_open_memfd(&f);

                fake_sub_fds(dead, 1, "$sys.dead", 16);
                fake_member(a, 1, "w", "g", &TWICE);
                send_full_frame(pub, n_fds);
                exhaust(a);
                const struct got *g = expect_large(dead, "$sys.dead", 9, WIRE_FRAME_BYTES - 10);
                CHECK_EQ(g->n_fds, n_fds + 1);
                expect_header(g, "$topic", "w");
                CHECK_EQ(fake_report(&f, "descriptors"), 0);
                fake_bury(&f);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(where_there_is_no_room_for_it_a_gap_tells)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *dead = fake_open(&f);

        fake_sub(dead, 1, "$sys.dead");
        fake_member(a, 1, "w", "g", &TWICE);
        f.append_fails = true;
        send_full_frame(pub, 2);
        exhaust(a);
        expect_gap(dead, 1, 1, WIRE_GAP_NO_MEMORY, 1);
        fake_bury(&f);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(the_dead_may_be_worked_on_by_a_group_and_die_but_once)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_member(a, 1, "w", "g", &TWICE);
        fake_member(b, 1, "$sys.dead", "undertaker", &TWICE);
        fake_pub(pub, "w", "x");
        exhaust(a);
        expect_pub(b, "$sys.dead", "x");
        exhaust(b);
        CHECK_EQ(fake_report(&f, "dead"), 2);
        CHECK_EQ(fake_report(&f, "waiting"), 0);
        fake_deinit(&f);
}

static void put_text(struct buf *to, const char *text, size_t n)
{
        uint8_t head[] = {0xd9, (uint8_t)n};

        CHECK_EQ(buf_push(to, head, sizeof(head)), 0);
        for (size_t i = 0; i < n; i++)
                CHECK_EQ(buf_push(to, &text[i % strlen(text)], 1), 0);
}

/* `n` headers of so many bytes, under keys of four. */
static void send_headers(struct client *c, unsigned n, size_t len)
{
        struct buf map cleanup_(buf_deinit) = BUF_INIT;
        uint8_t head[] = {0xde, 0, (uint8_t)n};
        char key[8];

        CHECK_EQ(buf_push(&map, head, sizeof(head)), 0);
        for (unsigned i = 0; i < n; i++) {
                snprintf(key, sizeof(key), "k%03u", i % 1000);
                put_text(&map, key, 4);
                put_text(&map, "v", len);
        }
        say(c, &(struct message){.type = WIRE_PUB,
                       .pub = {.topic = {(const uint8_t *)"w", 1},
                               .headers = {map.data, map.len},
                               .n_headers = n,
                               .payload = {(const uint8_t *)"x", 1}}});
        fake_go(c);
}

TEST(headers_that_have_no_room_beside_the_brokers_are_left_out_and_counted)
{
        static const struct {
                unsigned n;
                size_t len;
                uint32_t n_left;
        } cases[] = {{61, 1, 64}, {62, 1, 4}, {64, 1, 4}, {38, 200, 41}, {39, 201, 4}};

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *a = fake_open(&f), *dead = fake_open(&f);

                fake_sub(dead, 1, "$sys.dead");
                fake_member(a, 1, "w", "g", &TWICE);
                send_headers(pub, cases[i].n, cases[i].len);
                exhaust(a);
                const struct got *g = expect_pub(dead, "$sys.dead", "x");
                CHECK_EQ(g->m.pub.n_headers, cases[i].n_left);
                expect_header(g, "$topic", "w");
                fake_deinit(&f);
        }
}

TEST(with_the_longest_names_it_fits_too)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *dead = fake_open(&f);
        char topic[WIRE_TOPIC_BYTES + 1] = "", group[WIRE_TOPIC_BYTES + 1] = "";

        memset(topic, 't', WIRE_TOPIC_BYTES);
        memset(group, 'g', WIRE_TOPIC_BYTES);
        fake_sub(dead, 1, "$sys.dead");
        fake_member(a, 1, topic, group, &TWICE);
        fake_pub(pub, topic, "x");
        exhaust(a);
        const struct got *g = expect_pub(dead, "$sys.dead", "x");
        expect_header(g, "$topic", topic);
        expect_header(g, "$group", group);
        fake_deinit(&f);
}
