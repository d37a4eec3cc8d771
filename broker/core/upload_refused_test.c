/* Payloads in chunks that are refused, given up, or break the protocol: one answer, nothing
 * delivered, and nothing left over. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

/* What is left of an upload that came to nothing. */
static void check_nothing_is_kept(struct fake *f)
{
        CHECK_EQ(fake_report(f, "spooled_bytes"), 0);
        CHECK_EQ(fake_report(f, "descriptors"), 0);
}

/* The session goes on: its next publication arrives. */
static void check_goes_on(struct client *pub, struct client *sub)
{
        fake_confirmed(pub, pub->last_id + 1, "t", "next");
        expect_ok(pub, pub->last_id, 1);
        expect_pub(sub, "t", "next");
        expect_nothing(pub);
        expect_nothing(sub);
}

/* Says far more than a window of it, so all of it must be given back as it comes. */
static void say_the_rest(struct client *pub, uint64_t size)
{
        fake_chunks(pub, 1, size, 50000);
        say_end(pub, 0);
        fake_go(pub);
}

TEST(what_is_refused_at_begin_is_answered_once_and_skipped)
{
        enum { SIZE = 1 << 20 };
        static const struct {
                const char *begin;
                enum wire_code code;
                const char *limit;
        } cases[] = {
                {"95 11 00 a1 2a 80 00", WIRE_CODE_BAD_TOPIC, ""},
                {"95 11 00 a0 80 00", WIRE_CODE_BAD_TOPIC, ""},
                {"95 11 00 a1 24 80 00", WIRE_CODE_REFUSED, ""},
                {"95 11 00 a4 24 73 79 73 80 00", WIRE_CODE_REFUSED, ""},
                {"95 11 00 a1 74 81 01 02 00", WIRE_CODE_BAD_HEADERS, ""},
                {"95 11 00 a1 74 81 a2 24 78 02 00", WIRE_CODE_BAD_HEADERS, ""},
                {"95 11 00 a1 74 80 ce 00 10 00 00", WIRE_CODE_LIMIT, "payload_bytes"},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fake f;
                fake_init_with(&f, "window_bytes=262144 payload_bytes=1048575");
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                for (int with_id = 0; with_id < 2; with_id++) {
                        if (with_id)
                                say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
                        say_bytes(pub, cases[i].begin);
                        fake_go(pub);
                        const struct got *g = expect_err(pub, with_id ? 5 : 0, cases[i].code);
                        CHECK(slice_is(g->m.verdict.limit, cases[i].limit));
                        check_nothing_is_kept(&f);
                        say_the_rest(pub, SIZE);
                        check_goes_on(pub, sub);
                }
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(unknown_flags_are_refused_at_begin)
{
        static const char *const headers[] = {"94 14 11 05 00", "94 14 21 05 00", "94 16 07 20 05"};

        for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                pub->last_id = 5;
                say_bytes(pub, headers[i]);
                say_begin(pub, strchr(headers[i], '6') ? "" : "t", 0, 0);
                fake_go(pub);
                expect_err(pub, 5, WIRE_CODE_UNSUPPORTED);
                fake_chunks(pub, 1, 100000, 50000);
                say_end(pub, 1); /* it is answered already */
                fake_go(pub);
                check_goes_on(pub, sub);
                fake_deinit(&f);
        }
}

static void init_with_rights(struct fake *f, uint64_t rights)
{
        fake_init(f);
        core_free(f->core);
        f->config.rights = rights;
        CHECK_EQ(core_new(&f->config, f->now_ns, &f->core), 0);
}

TEST(rights_are_looked_at_when_it_begins)
{
        struct fake f;
        init_with_rights(&f, WIRE_RIGHT_SUBSCRIBE | WIRE_RIGHT_FDS | WIRE_RIGHT_BLOCK);
        struct client *pub = fake_open(&f);

        say_begin(pub, "t", 0, 0);
        fake_go(pub);
        expect_err(pub, 0, WIRE_CODE_REFUSED);
        say_the_rest(pub, 3 << 20);
        expect_nothing(pub);
        fake_deinit(&f);

        /* Chunks need no right to send memory files, but their descriptors the usual one. */
        init_with_rights(&f, WIRE_RIGHT_PUBLISH | WIRE_RIGHT_SUBSCRIBE | WIRE_RIGHT_BLOCK);
        struct client *a = fake_open(&f), *sub = fake_open_memfd(&f);
        fake_sub(sub, 1, "t");
        say_begin(a, "t", 0, 0);
        say_the_rest(a, 100000);
        expect_large(sub, "t", 1, 100000);
        say_ingress(a, WIRE_INGRESS_CONFIRM, 1);
        say_begin(a, "t", 2, 0);
        fake_send(a, 2);
        expect_err(a, 1, WIRE_CODE_REFUSED);
        check_nothing_is_kept(&f);
        say_the_rest(a, 100000);
        check_goes_on(a, sub);
        fake_deinit(&f);
}

/* A frame has room for more than any topic. */
TEST(a_reply_with_a_topic_of_its_own_is_refused)
{
        static const size_t lengths[] = {1, 255, 256, 30000, 65000};
        static char topic[65001];
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);
        struct buf begin = BUF_INIT;

        fake_sub(svc, 1, "s");
        uint64_t token = fake_ask(asker, 1, 0, "s", svc);
        memset(topic, 'x', sizeof(topic));
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
                size_t n = lengths[i];
                const uint8_t head[] = {0x95, 0x11, 0x00, 0xda, (uint8_t)(n >> 8), (uint8_t)n};
                buf_clear(&begin);
                CHECK_EQ(buf_push(&begin, head, sizeof(head)), 0);
                CHECK_EQ(buf_push(&begin, topic, n), 0);
                CHECK_EQ(buf_push(&begin, "\x80\x00", 2), 0);
                say_reply(svc, token, 0, svc->last_id + 1);
                CHECK_EQ(buf_push(&svc->packet, begin.data, begin.len), 0);
                fake_go(svc);
                expect_err(svc, svc->last_id, WIRE_CODE_BAD_TOPIC);
                say_chunk(svc, "x", 1);
                say_end(svc, 0);
                fake_go(svc);
        }
        fake_reply(svc, token, 0, 0, "well");
        expect_nothing(svc);
        expect_pub(asker, "", "well");
        buf_deinit(&begin);
        fake_deinit(&f);
}

/* ------------------------------------------------------------------ midway */

enum trouble { APPEND_FAILS, SEAL_FAILS, SPOOL_FULL, TOO_LARGE, FDS_FULL, TROUBLES };

static enum wire_code make_trouble(struct fake *f, enum trouble what)
{
        f->append_fails = what == APPEND_FAILS;
        f->seal_fails = what == SEAL_FAILS;
        return what == APPEND_FAILS || what == SEAL_FAILS ? WIRE_CODE_NO_MEMORY : WIRE_CODE_LIMIT;
}

TEST(what_is_refused_midway_is_answered_once_and_skipped)
{
        static const char *const limits[TROUBLES] = {
                "", "", "spool_bytes=100000", "payload_bytes=100000", "held_fds=17"};

        for (int what = 0; what < 2 * TROUBLES; what++) {
                enum trouble trouble = what / 2;
                bool with_id = what % 2;
                char text[100];
                struct fake f;
                snprintf(text, sizeof(text), "%s window_bytes=262144", limits[trouble]);
                fake_init_with(&f, text);
                struct client *pub = fake_open(&f), *sub = fake_open(&f), *other = fake_open(&f);
                fake_sub(sub, 1, "t");
                if (trouble == FDS_FULL) {
                        say_begin(other, "t", 16, 0);
                        fake_send(other, 16);
                }
                if (with_id)
                        say_ingress(pub, WIRE_INGRESS_CONFIRM, 5);
                say_begin(pub, "t", trouble == FDS_FULL ? 1 : 3, 0);
                fake_send(pub, trouble == FDS_FULL ? 1 : 3);
                fake_chunks(pub, 1, 60000, 30000);
                fake_go(pub);
                expect_nothing(pub);
                enum wire_code code = make_trouble(&f, trouble);
                say_the_rest(pub, 1 << 20);
                expect_err(pub, with_id ? 5 : 0, code);
                fake_close(other);
                check_nothing_is_kept(&f);
                check_goes_on(pub, sub);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

TEST(limits_are_exact)
{
        enum { SIZE = 300000 };
        static const char *const limits[] = {"payload_bytes", "spool_bytes"};

        for (int i = 0; i < 4; i++) {
                char text[100];
                struct fake f;
                snprintf(text, sizeof(text), "%s=%d", limits[i / 2], SIZE);
                fake_init_with(&f, text);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                fake_sub(sub, 1, "t");
                say_begin(pub, "t", 0, i % 2 ? SIZE : 0);
                fake_chunks(pub, 1, SIZE, 49999);
                fake_go(pub);
                CHECK_EQ(fake_report(&f, "spooled_bytes"), SIZE);
                say_end(pub, 0);
                fake_go(pub);
                expect_large(sub, "t", 1, SIZE);
                expect_nothing(pub);
                say_begin(pub, "t", 0, 0);
                fake_chunks(pub, 1, SIZE, 49999);
                fake_go(pub);
                expect_nothing(pub);
                say_chunk(pub, "x", 1);
                fake_go(pub);
                expect_err(pub, 0, WIRE_CODE_LIMIT);
                fake_deinit(&f);
        }
}

TEST(what_is_collected_counts_over_all_sessions)
{
        struct fake f;
        fake_init_with(&f, "spool_bytes=200000");
        struct client *a = fake_open(&f), *b = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(a, "t", 0, 0);
        fake_chunks(a, 1, 150000, 50000);
        fake_go(a);
        say_begin(b, "t", 0, 0);
        fake_chunks(b, 2, 50000, 50000); /* in memory, but it is memory all the same */
        fake_go(b);
        expect_nothing(b);
        say_chunk(b, "x", 1);
        fake_go(b);
        CHECK(slice_is(expect_err(b, 0, WIRE_CODE_LIMIT)->m.verdict.limit, "spool_bytes"));
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 150000);
        say_end(b, 0);
        say_end(a, 0);
        fake_go(a); /* what is whole is counted by those who have it queued */
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 0);
        expect_large(sub, "t", 1, 150000);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(the_descriptors_of_unfinished_uploads_count)
{
        struct fake f;
        fake_init_with(&f, "held_fds=20");
        struct client *a = fake_open(&f), *b = fake_open(&f), *sub = fake_open(&f);

        fake_sub_fds(sub, 1, "t", 16);
        say_begin(a, "t", 16, 0);
        fake_send(a, 16);
        fake_chunks(a, 1, 100000, 50000);
        fake_go(a);
        CHECK_EQ(fake_report(&f, "descriptors"), 17);
        say_begin(b, "t", 4, 0);
        fake_send(b, 4);
        CHECK(slice_is(expect_err(b, 0, WIRE_CODE_LIMIT)->m.verdict.limit, "held_fds"));
        say_end(b, 0);
        fake_go(b);
        say_begin(b, "t", 3, 0);
        fake_send(b, 3);
        CHECK_EQ(fake_report(&f, "descriptors"), 20);
        say_end(a, 0);
        fake_go(a);
        CHECK_EQ(expect_large(sub, "t", 1, 100000)->n_fds, 16);
        CHECK_EQ(fake_report(&f, "descriptors"), 3);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* Its sender may have heard of it in the middle. */
TEST(what_is_refused_may_end_before_all_of_it_has_come)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        say_ingress(c, WIRE_INGRESS_CONFIRM, ++c->last_id);
        say_begin(c, "a..b", 0, 100000);
        say_chunk(c, "x", 1);
        say_end(c, 0);
        fake_go(c);
        expect_err(c, c->last_id, WIRE_CODE_BAD_TOPIC);
        fake_confirmed(c, ++c->last_id, "a", "x");
        expect_ok(c, c->last_id, 0);
        fake_deinit(&f);
}
