/* What a broker must not send, and what it may send of others who must not: a payload that is not
 * what it says is a gap, a protocol that is broken is the end, and neither leaves anything behind.
 */
#include "client/fake_payload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { N = 100000 };

/* ---------------------------------------------------------------- placed */

static int half_sealed(void)
{
        int fd = payload_file(N, false);

        CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
        return fd;
}

static int pipe_end(void)
{
        int fds[2];

        CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
        close(fds[1]);
        return fds[0];
}

/* A file of 2^60 bytes is not even a page. */
static int sparse(void)
{
        int fd = payload_file(0, false);

        CHECK_EQ(ftruncate(fd, (off_t)1 << 60), 0);
        CHECK_EQ(memfile_seal(fd), 0);
        return fd;
}

enum unreadable { UNSEALED, HALF_SEALED, SHORTER, LONGER, PIPE, HUGE_SIZE, HUGE_FILE, KINDS };

static void place_unreadable(struct fake *f, struct message d, enum unreadable kind)
{
        uint64_t size = N;
        int fd = -1;

        switch (kind) {
        case UNSEALED:
                fd = payload_file(N, false);
                break;
        case HALF_SEALED:
                fd = half_sealed();
                break;
        case SHORTER:
        case LONGER:
                fd = payload_file(kind == SHORTER ? N - 1 : N + 1, true);
                break;
        case PIPE:
                fd = pipe_end();
                break;
        case HUGE_SIZE:
                fd = payload_file(N, true);
                size = (uint64_t)1 << 60;
                break;
        default:
                fd = sparse();
                size = (uint64_t)1 << 60;
        }
        fake_place_file(f, d, "a", fd, size, 1);
}

TEST(a_placed_payload_that_is_not_what_it_says_is_a_gap)
{
        NEEDS_MEMFD();
        for (enum unreadable kind = 0; kind < KINDS; kind++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
                fake_subscribe(&f, "a", note_message, &notes);
                fake_subscribe(&f, "*", note_message, &notes);
                size_t fds = test_open_fds();
                struct message d = fake_delivery(1, 1);
                d.delivery.n_subs = 3;
                d.delivery.subs[1] = 2;
                d.delivery.subs[2] = 99; /* nobody's */
                place_unreadable(&f, d, kind);
                baton_set_gap(f.b, note_gap, &notes);
                CHECK_EQ(run(&f), 0);
                CHECK_STR(notes.text, "a lost 1 (not readable);* lost 1 (not readable);");
                /* Its descriptors are gone and owed. */
                CHECK_EQ(test_open_fds(), fds);
                CHECK_EQ(payload_maps(), 0);
                CHECK_EQ(fake_skip(&f, WIRE_CREDIT), 1);
                /* The session goes on. */
                fake_deliver(&f, 2, 1, "a", "next");
                baton_set_gap(f.b, NULL, NULL);
                baton_set_log(f.b, note_log, &notes);
                place_unreadable(&f, fake_delivery(3, 1), kind);
                CHECK_EQ(run(&f), 0);
                CHECK(strstr(notes.text, ";a=next;a: 1 messages lost (not readable);"));
                fake_close(&f);
        }
}

static void note_failure(baton *b, int result, const char *text, void *arg)
{
        (void)b;
        note(arg, "done %d %s;", result, text);
}

TEST(a_reply_that_cannot_be_read_ends_the_request)
{
        struct baton_publication p = {.topic = "t"};

        NEEDS_MEMFD();
        for (uint64_t flags = 0; flags <= WIRE_DELIVERY_MORE; flags += WIRE_DELIVERY_MORE) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
                CHECK_EQ(baton_request_start(f.b, &p, 0, note_message, note_failure, &notes, NULL),
                        0);
                place_unreadable(&f, fake_reply(1, flags), UNSEALED);
                /* What comes later finds nobody. */
                place_unreadable(&f, fake_reply(1, flags), UNSEALED);
                CHECK_EQ(run(&f), 0);
                CHECK_STR(notes.text,
                        "done -5 the payload of the reply could not be had: Input/output error;");
                CHECK_EQ(fake_skip(&f, WIRE_CANCEL), flags != 0);
                place_unreadable(&f, fake_reply(2, 0), UNSEALED);
                CHECK_EQ(baton_request(f.b, &p, 0, note_message, &notes), -EIO);
                fake_close(&f);
        }
}

TEST(a_window_is_given_back_for_what_could_not_be_read)
{
        struct baton_subscription window = {.window = 1}, group = {.group = "g", .ack = true};
        struct notes notes = {.len = 0};
        struct fake f;
        struct message m;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(baton_subscribe_start(
                                 f.b, "a", i ? &group : &window, note_message, NULL, &notes, NULL),
                        0);
                (void)fake_expect(&f, WIRE_SUB);
        }
        struct message d = fake_delivery(7, 1);
        d.delivery.n_subs = 2;
        d.delivery.subs[1] = 2;
        place_unreadable(&f, d, UNSEALED);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(fake_expect(&f, WIRE_CREDIT).credit.what, WIRE_CREDIT_FDS);
        m = fake_expect(&f, WIRE_CREDIT);
        CHECK_EQ(m.credit.what, WIRE_CREDIT_SUB);
        CHECK_EQ(m.credit.id, 1);
        m = fake_expect(&f, WIRE_NACK);
        CHECK_EQ(m.ack.first, 7);
        CHECK_EQ(m.ack.last, 7);
        /* So it is for what the broker gave up half way. */
        d.delivery.seq = 8;
        fake_begin(&f, d, "a", 0);
        fake_end(&f, 1);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(fake_expect(&f, WIRE_NACK).ack.first, 8);
        fake_say(&f, (struct message){.type = WIRE_GAP, .gap = {1, 1, WIRE_GAP_UNREADABLE, 9}});
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(fake_expect(&f, WIRE_CREDIT).credit.id, 1);
        fake_close(&f);
}

/* ---------------------------------------------------------------- the protocol */

static void say_chunk(struct fake *f, size_t n)
{
        static const uint8_t zeros[1000];

        fake_say(f, (struct message){.type = WIRE_CHUNK, .chunk = {zeros, n}});
}

static void say_begin(struct fake *f, uint64_t size, uint32_t n_fds)
{
        struct message m = fake_pub("a", "");

        m.type = WIRE_BEGIN;
        m.pub.size = size;
        m.pub.n_fds = n_fds;
        fake_say(f, fake_delivery(1, 1));
        fake_say(f, m);
}

static void say_end(struct fake *f)
{
        fake_say(f, (struct message){.type = WIRE_END});
}

static void chunk_alone(struct fake *f)
{
        say_chunk(f, 1);
}

static void end_alone(struct fake *f)
{
        say_end(f);
}

static void end_twice(struct fake *f)
{
        say_begin(f, 0, 0);
        say_end(f);
        say_end(f);
}

static void begin_twice(struct fake *f)
{
        say_begin(f, 0, 0);
        fake_send(f);
        say_begin(f, 0, 0);
}

static void pub_inside(struct fake *f)
{
        say_begin(f, 0, 0);
        fake_say(f, fake_pub("a", ""));
}

static void pub_inside_later(struct fake *f)
{
        say_begin(f, 0, 0);
        fake_send(f);
        fake_say(f, fake_delivery(2, 1));
        fake_say(f, fake_pub("a", ""));
}

static void too_much(struct fake *f)
{
        say_begin(f, 1000, 0);
        say_chunk(f, 999);
        fake_send(f);
        say_chunk(f, 2);
}

static void too_little(struct fake *f)
{
        say_begin(f, 1000, 0);
        say_chunk(f, 999);
        fake_send(f);
        say_end(f);
}

static void begin_without_delivery(struct fake *f)
{
        struct message m = fake_pub("a", "");

        m.type = WIRE_BEGIN;
        fake_say(f, m);
}

static void descriptors_missing(struct fake *f)
{
        say_begin(f, 0, 2);
}

static void placed_without_a_file(struct fake *f)
{
        struct message m = fake_pub("a", "");

        m.pub.payload.data = NULL;
        m.pub.size = 5;
        m.pub.n_fds = 1;
        fake_say(f, fake_delivery(1, 1));
        fake_say(f, m);
}

static void placed_and_withheld(struct fake *f)
{
        struct message m = fake_pub("a", ""), d = fake_delivery(1, 1);

        m.pub.payload.data = NULL;
        m.pub.size = 5;
        m.pub.n_fds = 1;
        d.delivery.withheld = 1;
        fake_say(f, d);
        fake_say(f, m);
}

static void status_of_the_future(struct fake *f)
{
        say_begin(f, 0, 0);
        fake_say_raw(f, "\x92\x13\x02", 3);
}

static void (*const broken[])(struct fake *f) = {chunk_alone, end_alone, end_twice, begin_twice,
        pub_inside, pub_inside_later, too_much, too_little, begin_without_delivery,
        descriptors_missing, placed_without_a_file, placed_and_withheld, status_of_the_future};

TEST(a_broken_protocol_ends_the_connection)
{
        for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
                fake_subscribe(&f, "a", note_message, &notes);
                broken[i](&f);
                fake_send(&f);
                CHECK_EQ(run(&f), -EPROTO);
                CHECK(strstr(baton_error(f.b), "broke the protocol"));
                CHECK_STR(notes.text, i == 2 ? "a=;" : "");
                CHECK_EQ(fake_skip(&f, WIRE_BYE), 1);
                fake_close(&f);
        }
}
