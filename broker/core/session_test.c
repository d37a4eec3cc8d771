/* Who may come in, how a session begins, and all the ways in which it ends. */
#include "broker/core/fake.h"
#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <string.h>

static const struct core_peer OTHER = {.pid = 7, .uid = 1001, .gid = 1001};
static const struct core_peer ROOT = {.pid = 8, .uid = 0, .gid = 0};

/* ---------------------------------------------------------------- handshake */

static uint64_t limit_of(const struct msg_welcome *w, const char *name)
{
        for (uint32_t i = 0; i < w->n_limits; i++) {
                if (slice_is(w->limits[i].name, name))
                        return w->limits[i].value;
        }
        return UINT64_MAX;
}

TEST(welcome_names_the_session_the_instance_and_the_limits)
{
        struct fake f;
        fake_init_with(&f, "window_bytes=500000 requests=77");
        struct client *c = fake_connect(&f);

        say_hello(c, "thermo");
        fake_go(c);
        const struct msg_welcome *w = &expect(c, WIRE_WELCOME)->m.welcome;
        CHECK_EQ(w->version, WIRE_VERSION);
        CHECK_EQ(w->session, 1);
        CHECK_BYTES(w->instance.data, f.config.instance, WIRE_INSTANCE_BYTES);
        CHECK(slice_is(w->name, "baton test"));
        CHECK_EQ(w->rights, f.config.rights);
        CHECK_EQ(w->window, 500000);
        CHECK_EQ(limit_of(w, "packet_bytes"), WIRE_PACKET_BYTES);
        CHECK_EQ(limit_of(w, "frame_bytes"), WIRE_FRAME_BYTES);
        CHECK_EQ(limit_of(w, "payload_bytes"), LIMIT_PAYLOAD_BYTES);
        CHECK_EQ(limit_of(w, "topic_bytes"), WIRE_TOPIC_BYTES);
        CHECK_EQ(limit_of(w, "fds"), WIRE_FDS);
        CHECK_EQ(limit_of(w, "requests"), 77);
        CHECK_EQ(limit_of(w, "queue_bytes"), LIMIT_QUEUE_BYTES);
        CHECK_EQ(limit_of(w, "drain_ms"), LIMIT_DRAIN_MS);
        CHECK_EQ(core_sessions(f.core), 1);
        fake_deinit(&f);
}

TEST(a_session_number_is_never_used_again)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f);

        fake_close(a);
        struct client *b = fake_open(&f);
        CHECK_EQ(a->number, 1);
        CHECK_EQ(b->number, 2);
        CHECK_EQ(core_sessions(f.core), 1);
        fake_deinit(&f);
}

TEST(an_id_of_a_closed_session_is_void)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f);
        struct core_packet packet;

        fake_close(a);
        struct client *b = fake_open(&f);
        CHECK_EQ(a->id.slot, a->id.slot);
        core_input(
                f.core, a->id, &(struct core_arrival){.data = "\x92\x05\x01", .len = 3}, f.now_ns);
        core_end(f.core, a->id, WIRE_CODE_PROTOCOL, "late", f.now_ns);
        core_close(f.core, a->id, f.now_ns);
        core_writable(f.core, a->id, f.now_ns);
        core_out_done(f.core, a->id, CORE_OUT_SENT, f.now_ns);
        CHECK(!core_out_build(f.core, a->id, &packet));
        CHECK(!core_is_over(f.core, a->id));
        CHECK(!core_is_ending(f.core, a->id));
        fake_check(&f);
        fake_flush(&f);
        expect_nothing(b);
        CHECK(!b->is_gone);
        fake_deinit(&f);
}

TEST(another_uid_is_told_that_it_may_not_come_in)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_connect_as(&f, &OTHER);

        const struct got *bye = expect_bye(c, WIRE_CODE_REFUSED);
        CHECK(slice_is(
                bye->m.verdict.text, "uid 1001 may not use this bus: it serves uid 1000 and root"));
        CHECK_EQ(fake_report(&f, "refused_sessions"), 1);
        CHECK_EQ(core_sessions(f.core), 0);
        fake_deinit(&f);
}

TEST(root_may_come_in)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_connect_as(&f, &ROOT);

        say_hello(c, "root");
        fake_go(c);
        expect(c, WIRE_WELCOME);
        fake_deinit(&f);
}

TEST(one_session_too_many_is_told_so_and_its_place_is_free_again)
{
        struct fake f;
        fake_init_with(&f, "sessions=2");
        struct client *a = fake_open(&f);

        fake_open(&f);
        expect_bye(fake_connect(&f), WIRE_CODE_LIMIT);
        fake_close(a);
        struct client *b = fake_open(&f);
        CHECK(!b->is_gone);
        fake_deinit(&f);
}

TEST(too_many_that_have_not_said_hello_are_told_so)
{
        struct fake f;
        fake_init_with(&f, "unready=2");
        struct client *a = fake_connect(&f);

        fake_connect(&f);
        expect_bye(fake_connect(&f), WIRE_CODE_LIMIT);
        say_hello(a, "a");
        fake_go(a);
        struct client *b = fake_connect(&f);
        CHECK(!b->is_gone);
        fake_deinit(&f);
}

TEST(a_client_without_hello_in_time_is_ended)
{
        struct fake f;
        fake_init_with(&f, "handshake_ms=1000");
        struct client *c = fake_connect(&f);

        CHECK_EQ(core_deadline(f.core), f.now_ns + 1000 * UINT64_C(1000000));
        fake_tick(&f, 999);
        CHECK(!c->is_gone);
        fake_tick(&f, 1);
        expect_bye(c, WIRE_CODE_TIMEOUT);
        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_deinit(&f);
}

TEST(hello_in_time_takes_the_deadline_away)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        CHECK_EQ(core_deadline(f.core), UINT64_MAX);
        fake_tick(&f, 10 * LIMIT_HANDSHAKE_MS);
        CHECK(!c->is_gone);
        fake_deinit(&f);
}

TEST(a_version_that_is_none_is_told_so)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_connect(&f);

        say_bytes(c, "94 01 00 a1 78 00");
        fake_go(c);
        expect_bye(c, WIRE_CODE_VERSION);
        fake_deinit(&f);
}

TEST(a_later_version_gets_ours)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_connect(&f);

        say_bytes(c, "94 01 09 a1 78 00");
        fake_go(c);
        CHECK_EQ(expect(c, WIRE_WELCOME)->m.welcome.version, 1);
        fake_deinit(&f);
}

/* ------------------------------------------------ frames in a wrong state */

/* Whatever comes as the first packet but one HELLO. */
TEST(the_first_packet_must_be_hello_alone)
{
        static const char *const bad[] = {
                "92 05 01",                            /* PING */
                "95 10 00 a1 61 80 c4 00",             /* PUB */
                "94 09 01 01 a1 61",                   /* SUB */
                "93 03 00 a0",                         /* BYE */
                "94 01 01 a1 78 00 92 05 01",          /* HELLO, PING */
                "94 01 01 a1 78 00 94 01 01 a1 78 00", /* HELLO, HELLO */
                "94 01 01 a1 0a 00",                   /* a name with a line break */
                "91 40",                               /* an ignorable frame */
                "c0",                                  /* no frame */
                "94 01 01 a1",                         /* cut off */
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct fake f;
                fake_init(&f);
                struct client *c = fake_connect(&f);
                say_bytes(c, bad[i]);
                fake_go(c);
                expect_bye(c, WIRE_CODE_PROTOCOL);
                fake_deinit(&f);
        }
}

/* Each of them ends an open session; `code` says how. */
TEST(a_frame_out_of_place_ends_the_session)
{
        static const struct {
                const char *hex;
                enum wire_code code;
        } bad[] = {
                {"94 01 01 a1 78 00", WIRE_CODE_PROTOCOL},       /* HELLO again */
                {"92 04 0f", WIRE_CODE_PROTOCOL},                /* RIGHTS */
                {"93 07 01 00", WIRE_CODE_PROTOCOL},             /* OK */
                {"94 08 01 01 a0", WIRE_CODE_PROTOCOL},          /* ERR */
                {"95 0e 01 01 01 01", WIRE_CODE_PROTOCOL},       /* GAP */
                {"97 17 01 01 01 01 01 90", WIRE_CODE_PROTOCOL}, /* DELIVERY */
                {"94 0b 00 00 01", WIRE_CODE_PROTOCOL},          /* CREDIT of publishing */
                {"94 0b 03 00 01", WIRE_CODE_PROTOCOL},          /* CREDIT of what? */
                {"91 18", WIRE_CODE_PROTOCOL},                   /* an unknown frame */
                {"92 05 a1 61", WIRE_CODE_PROTOCOL},             /* PING with a text */
                {"95 10 00 61 80 c4 00", WIRE_CODE_PROTOCOL},    /* PUB to a number */
                {"c1", WIRE_CODE_PROTOCOL},                      /* no msgpack */
                {"93 15 01 00", WIRE_CODE_PROTOCOL},             /* REQUEST of nothing */
                {"92 16 01", WIRE_CODE_PROTOCOL},                /* REPLY of nothing */
                {"93 15 01 00 92 05 01", WIRE_CODE_PROTOCOL},    /* REQUEST, PING */
                {"93 15 01 00 94 0a 02 01", WIRE_CODE_PROTOCOL}, /* REQUEST, UNSUB */
                {"93 15 01 00 93 14 00 00", WIRE_CODE_PROTOCOL}, /* REQUEST, INGRESS */
                {"93 15 01 00 92 13 00", WIRE_CODE_PROTOCOL},    /* REQUEST, END */
                {"93 15 01 00 92 12 c4 00", WIRE_CODE_PROTOCOL}, /* REQUEST, CHUNK */
                {"93 15 01 00 95 09 02 01 a1 61 81 a1 7a 01", WIRE_CODE_PROTOCOL},
                /* ... SUB with an unknown option */
                {"95 10 01 a1 61 80 c4 00", WIRE_CODE_DESCRIPTORS}, /* PUB without its own */
                {"95 11 01 a1 61 80 00", WIRE_CODE_DESCRIPTORS},    /* BEGIN likewise */
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct fake f;
                fake_init(&f);
                struct client *c = fake_open(&f);
                say_bytes(c, bad[i].hex);
                fake_go(c);
                const struct got *g = fake_next(c);
                if (!g || g->m.type != WIRE_BYE || g->m.verdict.code != bad[i].code)
                        fail_msg("not ended as it should: %s", bad[i].hex);
                CHECK(c->is_gone);
                fake_deinit(&f);
        }
}

TEST(what_is_about_something_over_is_ignored)
{
        static const char *const fine[] = {
                "92 0f 01",       /* CANCEL */
                "93 0c 01 02",    /* ACK */
                "93 0d 01 02",    /* NACK */
                "92 06 01",       /* PONG */
                "94 0b 01 05 01", /* CREDIT of a subscription */
                "94 0b 02 00 01", /* CREDIT of descriptors */
                "91 40",          /* an ignorable frame */
                "93 7f 01 c0",
        };
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
                say_bytes(c, fine[i]);
                fake_go(c);
                expect_nothing(c);
                CHECK(!c->is_gone);
        }
        fake_deinit(&f);
}

TEST(ping_is_answered_by_pong_with_its_token)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        say_number(c, WIRE_PING, UINT64_MAX);
        say_number(c, WIRE_PING, 5);
        fake_go(c);
        CHECK(expect(c, WIRE_PONG)->m.number == UINT64_MAX);
        CHECK_EQ(expect(c, WIRE_PONG)->m.number, 5);
        fake_deinit(&f);
}

TEST(ids_must_increase_whatever_they_number)
{
        static const char *const second[] = {
                "94 09 05 02 a1 61",                   /* SUB */
                "93 0a 05 01",                         /* UNSUB */
                "93 15 05 00 95 10 00 a1 61 80 c4 00", /* REQUEST */
                "93 14 01 05 95 10 00 a1 61 80 c4 00", /* a confirm */
                "94 16 01 00 05 95 10 00 a0 80 c4 00", /* REPLY */
                "95 09 05 02 a1 61 81 a1 7a 01",       /* SUB, unknown option */
                "93 15 05 00 95 11 00 a1 61 80 00",    /* REQUEST, BEGIN */
                "93 14 01 00 95 10 00 a1 61 80 c4 00", /* a confirm of id 0 */
                /* a run of confirms, the second one beyond all */
                ("93 14 01 cf 7f ff ff ff ff ff ff ff 95 10 00 a1 61 80 c4 00"
                 " 95 10 00 a1 61 80 c4 00"),
        };

        for (size_t i = 0; i < ARRAY_LEN(second); i++) {
                struct fake f;
                fake_init(&f);
                struct client *c = fake_open(&f);
                say_sub(c, 5, 1, "x");
                fake_go(c);
                expect_ok(c, 5, 0);
                say_bytes(c, second[i]);
                fake_go(c);
                const struct got *g = fake_next(c);
                while (g && g->m.type != WIRE_BYE)
                        g = fake_next(c);
                if (!g || g->m.verdict.code != WIRE_CODE_PROTOCOL)
                        fail_msg("an id again: %s", second[i]);
                fake_deinit(&f);
        }
}

TEST(the_frames_before_a_broken_one_stand)
{
        struct fake f;
        fake_init(&f);
        struct client *sub = fake_open(&f), *pub = fake_open(&f);

        fake_sub(sub, 1, "a");
        say_pub(pub, "a", "1");
        say_pub(pub, "a", "2");
        say_bytes(pub, "95 10 00 61 80 c4 00");
        say_pub(pub, "a", "3");
        fake_go(pub);
        expect_pub(sub, "a", "1");
        expect_pub(sub, "a", "2");
        expect_nothing(sub);
        expect_bye(pub, WIRE_CODE_PROTOCOL);
        fake_deinit(&f);
}

TEST(the_frames_before_a_broken_one_are_answered)
{
        static const char *const broken[] = {
                "c1", "95 10 00 61 80 c4 00", "91 18", "95 10 01 a1 61 80 c4 00", "92 05 a1 61"};

        for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
                struct fake f;
                fake_init(&f);
                struct client *c = fake_open(&f);
                say_ingress(c, WIRE_INGRESS_CONFIRM, 1);
                say_pub(c, "a", "1");
                say_pub(c, "a", "2");
                say_bytes(c, broken[i]);
                fake_go(c);
                expect_ok_run(c, 1, 0, 2);
                expect(c, WIRE_BYE);
                fake_deinit(&f);
        }
}

TEST(a_truncated_packet_ends_the_session)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f), *b = fake_connect(&f);

        core_end(f.core, a->id, WIRE_CODE_PROTOCOL, "truncated", f.now_ns);
        core_end(f.core, b->id, WIRE_CODE_PROTOCOL, "truncated", f.now_ns);
        fake_flush(&f);
        CHECK(slice_is(expect_bye(a, WIRE_CODE_PROTOCOL)->m.verdict.text, "truncated"));
        expect_bye(b, WIRE_CODE_PROTOCOL);
        fake_deinit(&f);
}
