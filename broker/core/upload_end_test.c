/* How payloads in chunks end otherwise than by END(0) and in full: given up, against the protocol,
 * or with their session. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <stdio.h>

TEST(what_is_given_up_is_answered_if_it_has_an_id)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        for (uint64_t size = 0; size <= 200000; size += 100000) {
                say_begin(pub, "t", 1, size);
                fake_send(pub, 1);
                fake_chunks(pub, 1, size / 2, 20000);
                say_end(pub, 1);
                fake_go(pub);
                expect_nothing(pub);
                say_ingress(pub, 0, 77); /* no CONFIRM: no id */
                say_begin(pub, "t", 0, 0);
                say_end(pub, 1);
                fake_go(pub);
                expect_nothing(pub);
                say_ingress(pub, WIRE_INGRESS_CONFIRM, pub->last_id + 1);
                say_begin(pub, "t", 0, size);
                fake_chunks(pub, 1, size, 20000);
                say_end(pub, 1);
                fake_go(pub);
                expect_err(pub, pub->last_id, WIRE_CODE_CANCELLED);
        }
        say_request(pub, pub->last_id + 1, 0);
        say_begin(pub, "t", 0, 0);
        say_end(pub, 1);
        fake_go(pub);
        expect_err(pub, pub->last_id, WIRE_CODE_CANCELLED);
        CHECK_EQ(fake_report(&f, "requests"), 0);
        expect_nothing(sub);
        fake_close_all(&f);
        fake_deinit(&f);
}

TEST(a_reply_that_is_given_up_leaves_the_right_to_reply)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "s");
        uint64_t token = fake_ask(asker, 1, 0, "s", svc);
        say_reply(svc, token, 0, 2);
        say_begin(svc, "", 0, 0);
        fake_chunks(svc, 1, 100000, 50000);
        say_end(svc, 1);
        fake_go(svc);
        expect_err(svc, 2, WIRE_CODE_CANCELLED);
        say_reply(svc, token, 0, 0);
        say_begin(svc, "", 0, 0);
        say_end(svc, 1);
        fake_go(svc);
        expect_nothing(svc);
        expect_nothing(asker);
        fake_reply(svc, token, 0, 3, "after all");
        expect_ok(svc, 3, 1);
        expect_pub(asker, "", "after all");
        fake_deinit(&f);
}

TEST(a_reply_may_come_too_late)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "s");
        uint64_t token = fake_ask(asker, 1, 1000, "s", svc);
        say_reply(svc, token, 0, 2);
        say_begin(svc, "", 0, 0);
        fake_chunks(svc, 1, 100000, 50000);
        fake_go(svc);
        fake_tick(&f, 1000);
        expect_err(asker, 1, WIRE_CODE_TIMEOUT);
        say_end(svc, 0);
        fake_go(svc);
        expect_err(svc, 2, WIRE_CODE_BAD_TOKEN);
        expect_nothing(asker);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* A client that has lost its patience need not send the rest. */
TEST(a_request_can_be_cancelled_before_it_is_whole)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "s");
        say_request(asker, 1, 0);
        say_begin(asker, "s", 0, 0);
        fake_chunks(asker, 1, 100000, 50000);
        fake_go(asker);
        say_number(asker, WIRE_CANCEL, 2); /* another */
        fake_go(asker);
        expect_nothing(asker);
        say_number(asker, WIRE_CANCEL, 1);
        fake_go(asker);
        expect_err(asker, 1, WIRE_CODE_CANCELLED);
        CHECK_EQ(fake_report(&f, "spooled_bytes"), 0);
        say_number(asker, WIRE_CANCEL, 1);
        fake_chunks(asker, 1, 100000, 50000);
        say_end(asker, 0);
        fake_go(asker);
        expect_nothing(asker);
        expect_nothing(svc);
        say_ingress(asker, WIRE_INGRESS_CONFIRM, 2);
        say_begin(asker, "s", 0, 0); /* no request: CANCEL is not about it */
        say_chunk(asker, "x", 1);
        say_number(asker, WIRE_CANCEL, 2);
        say_end(asker, 0);
        fake_go(asker);
        expect_ok(asker, 2, 1);
        expect_pub(svc, "s", "x");
        fake_close_all(&f);
        fake_deinit(&f);
}

/* -------------------------------------------------- against the protocol */

TEST(frames_out_of_place_end_the_session)
{
        static const char *const bad[] = {
                "92 12 c4 01 78",                               /* CHUNK of nothing */
                "92 13 00",                                     /* END of nothing */
                "92 13 01",                                     /* likewise */
                "95 11 00 a1 74 80 00 95 10 00 a1 74 80 c4 00", /* BEGIN, PUB */
                "95 11 00 a1 74 80 00 95 11 00 a1 74 80 00",    /* BEGIN, BEGIN */
                "95 11 00 a1 74 80 00 92 13 00 92 13 00",       /* END twice */
                "95 11 00 a1 74 80 00 92 13 02",                /* no such status */
                "95 11 00 a1 74 80 00 92 12 a1 78",             /* no bin */
                "95 11 00 a1 74 80 00 93 15 09 00 92 13 00",    /* REQUEST, END */
                "95 11 00 a1 74 80 00 93 15 09 00 92 12 c4 00", /* REQUEST, CHUNK */
                "95 11 00 a1 74 80 00 93 15 09 00",             /* REQUEST alone */
                "95 11 00 a1 74 80 02 92 12 c4 03 78 78 78",    /* more than it said */
                "95 11 00 a1 74 80 02 92 12 c4 01 78 92 13 00", /* less */
                "95 11 00 a1 74 80 02 92 13 00",                /* nothing of it */
                "95 11 00 a1 2a 80 02 92 12 c4 03 78 78 78",    /* likewise */
                "93 14 01 09 95 11 00 a1 74 80 00 92 13 00 93 14 01 09 95 10 00 a1 74 80 c4 00",
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct fake f;
                fake_init(&f);
                struct client *pub = fake_open(&f), *sub = fake_open(&f);
                uint64_t code = 0;
                fake_sub(sub, 1, "t");
                say_bytes(pub, bad[i]);
                fake_go(pub);
                for (const struct got *g; (g = fake_next(pub));)
                        code = g->m.type == WIRE_BYE ? g->m.verdict.code : 0;
                if (!pub->is_gone || code != WIRE_CODE_PROTOCOL)
                        fail_msg("not ended as it should: %s", bad[i]);
                fake_close_all(&f);
                fake_deinit(&f);
        }
}

/* The frames before the offending one stand. */
TEST(what_was_whole_before_a_violation_is_delivered)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 0);
        say_chunk(pub, "whole", 5);
        say_end(pub, 0);
        say_begin(pub, "t", 0, 0);
        say_chunk(pub, "not", 3);
        say_pub(pub, "t", "x");
        fake_go(pub);
        expect_bye(pub, WIRE_CODE_PROTOCOL);
        expect_pub(sub, "t", "whole");
        expect_nothing(sub);
        fake_close_all(&f);
        fake_deinit(&f);
}

/* ------------------------------------------------------- with the session */

enum ending { CONNECTION, BYE, VIOLATION, SHUTDOWN, ENDINGS };

static void end(struct client *c, enum ending how)
{
        switch (how) {
        case CONNECTION:
                fake_close(c);
                break;
        case BYE:
                say_bye(c);
                fake_go(c);
                break;
        case VIOLATION:
                say_bytes(c, "c1");
                fake_go(c);
                break;
        default:
                core_shutdown(c->fake->core, c->fake->now_ns);
                fake_check(c->fake);
                fake_flush(c->fake);
        }
}

TEST(an_upload_ends_with_its_session)
{
        for (int i = 0; i < ENDINGS; i++) {
                for (uint64_t size = 0; size <= 200000; size += 40000) {
                        struct fake f;
                        fake_init(&f);
                        struct client *pub = fake_open(&f), *sub = fake_open(&f);
                        fake_sub(sub, 1, "t");
                        say_begin(pub, "t", 2, 0);
                        fake_send(pub, 2);
                        fake_chunks(pub, 1, size, 30000);
                        fake_go(pub);
                        end(pub, i);
                        CHECK_EQ(fake_report(&f, "spooled_bytes"), 0);
                        CHECK_EQ(fake_report(&f, "descriptors"), 0);
                        CHECK_EQ(fake_report(&f, "published"), 0);
                        fake_close_all(&f);
                        fake_deinit(&f);
                }
        }
}

TEST(chunks_behind_bye_are_ignored)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);

        fake_sub(sub, 1, "t");
        say_begin(pub, "t", 0, 0);
        say_bye(pub);
        say_chunk(pub, "x", 1);
        say_end(pub, 0);
        fake_go(pub);
        expect_bye(pub, WIRE_CODE_NONE);
        expect_nothing(sub);
        fake_deinit(&f);
}

TEST(a_core_that_is_freed_drops_its_uploads)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f);

        say_begin(pub, "t", 3, 0);
        fake_send(pub, 3);
        fake_chunks(pub, 1, 100000, 30000);
        fake_go(pub);
        fake_deinit(&f);
}
