/* The publishing window, to the byte: what each frame costs (PROTOCOL.md part 6), that it comes
 * back, and that one byte too many ends the session. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <string.h>

enum { WINDOW = 4 * WIRE_PACKET_BYTES, LEAST = 300, MOST = 60000 };

/* A publisher whose receiver is full, and what it has spent. */
struct spender {
        struct fake f;
        struct client *pub, *sub;
        uint64_t spent;
};

static void init(struct spender *s)
{
        fake_init_with(&s->f, "window_bytes=262144 queue_messages=1");
        s->pub = fake_open(&s->f);
        s->sub = fake_open_memfd(&s->f);
        fake_sub_fds(s->sub, 1, "t", 16);
        fake_room(s->sub, 0);
        s->spent = 0;
}

static uint64_t left(const struct spender *s)
{
        return WINDOW + s->pub->credited - s->spent;
}

/* What is said again in PROTOCOL.md's words. */
static void spend(struct spender *s, uint64_t n_fds, uint64_t size)
{
        uint64_t more = 4096 * n_fds + size / 1024;

        s->spent += s->pub->packet.len + (more < WINDOW / 4 ? more : WINDOW / 4);
}

/* Publications of `n` bytes in all, one a packet. */
static void pubs(struct spender *s, uint64_t n)
{
        while (n) {
                size_t len = n <= MOST ? (size_t)n : n - MOST < LEAST ? MOST - LEAST : MOST;
                say_large(s->pub, "t", "", len);
                spend(s, 0, 0);
                fake_go(s->pub);
                n -= len;
        }
}

/* Each spends something; that it costs what `spend` says is found out by the byte too many. */
static void nothing(struct spender *s)
{
        (void)s;
}

static void with_fds(struct spender *s)
{
        for (uint32_t n = 1; n <= 16; n += 5) {
                say_fds(s->pub, "t", n, "payload");
                spend(s, n, 0);
                fake_send(s->pub, n);
        }
}

static void place(struct spender *s, uint32_t n_fds, uint64_t size)
{
        say_placed(s->pub, "t", n_fds + 1, size);
        spend(s, n_fds + 1, size);
        fake_feed_fds(s->pub, fake_placed_fds(&s->f, n_fds, 1, size));
        fake_flush(&s->f);
}

static void placed(struct spender *s)
{
        place(s, 0, 1);
        place(s, 2, 1023);
        place(s, 0, 1024);
        place(s, 1, 5000000);
}

/* No more than a quarter, for both together. */
static void most(struct spender *s)
{
        place(s, 14, 4095 * 1024); /* just less */
        place(s, 15, 5 << 20);
}

static void huge(struct spender *s)
{
        place(s, 16, 65 << 20);
}

static void upload(struct spender *s, uint32_t n_fds, uint64_t size)
{
        struct client *c = s->pub;
        static uint8_t data[50000];

        say_begin(c, "t", n_fds, size);
        spend(s, n_fds, 0);
        fake_send(c, n_fds);
        for (uint64_t at = 0; at < size; at += 50000) {
                fake_pattern(1, at, data, 50000);
                say_chunk(c, data, 50000);
                spend(s, 0, 0);
                fake_go(c);
        }
        say_end(c, 0);
        spend(s, 0, size);
        fake_go(c);
}

static void in_chunks(struct spender *s)
{
        upload(s, 2, 50000);
        upload(s, 0, 5000000);
}

static void refused(struct spender *s)
{
        say_begin(s->pub, "*", 3, 0);
        spend(s, 3, 0);
        fake_send(s->pub, 3);
        say_chunk(s->pub, "12345", 5);
        spend(s, 0, 0);
        fake_go(s->pub);
        say_end(s->pub, 0);
        spend(s, 0, 5);
        fake_go(s->pub);
        say_placed(s->pub, "t", 1, 999);
        spend(s, 1, 999);
        fake_send(s->pub, 1); /* no memory file */
}

static void drain(struct spender *s)
{
        fake_room(s->sub, SIZE_MAX);
        while (s->sub->n_flying) {
                say_credit(s->sub, 1);
                fake_go(s->sub);
        }
}

TEST(a_window_is_spent_to_the_byte)
{
        static void (*const ways[])(struct spender *) = {
                nothing, with_fds, placed, most, huge, in_chunks, refused};

        for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
                struct spender s;
                init(&s);
                pubs(&s, 400); /* taken, but it is not much: owed */
                ways[i](&s);
                pubs(&s, left(&s));
                CHECK(!s.pub->is_gone);
                CHECK_EQ(left(&s), 0);
                drain(&s);
                CHECK(!s.pub->is_gone && !s.sub->is_gone);
                CHECK(left(&s) > WINDOW * 3 / 4); /* all but what is owed */
                CHECK_EQ(fake_report(&s.f, "parked"), 0);
                fake_close_all(&s.f);
                fake_deinit(&s.f);

                init(&s);
                pubs(&s, 400);
                ways[i](&s);
                pubs(&s, left(&s) + 1);
                CHECK(s.pub->is_gone);
                const struct got *g;
                while ((g = fake_next(s.pub)) && g->m.type == WIRE_ERR)
                        ;
                CHECK_EQ(g->m.verdict.code, WIRE_CODE_WINDOW);
                fake_close_all(&s.f);
                fake_deinit(&s.f);
        }
}

/* BEGIN and END, and nothing of what is between: that comes back as it is collected. */
TEST(an_upload_costs_its_ends_until_it_is_admitted)
{
        enum { CHUNK = 1000, N = 3000 };
        static uint8_t data[CHUNK];

        for (uint64_t more = 0; more < 2; more++) {
                struct spender s;
                init(&s);
                pubs(&s, 400);
                pubs(&s, WINDOW / 2); /* parked */
                say_begin(s.pub, "t", 5, 0);
                spend(&s, 5, 0);
                fake_send(s.pub, 5);
                for (int i = 0; i < N; i++) {
                        say_chunk(s.pub, data, CHUNK);
                        spend(&s, 0, 0);
                        fake_go(s.pub);
                        CHECK(left(&s) > WINDOW / 2 - 5 * 4096 - 1000 - WINDOW / 4);
                }
                say_end(s.pub, 0);
                spend(&s, 0, CHUNK * N);
                fake_go(s.pub);
                CHECK(!s.pub->is_gone);
                pubs(&s, left(&s) + more);
                CHECK_EQ(s.pub->is_gone, more);
                fake_close_all(&s.f);
                fake_deinit(&s.f);
        }
}

TEST(chunks_and_ends_may_be_too_much_too)
{
        enum { BEGIN_BYTES = 7, CHUNK_BYTES = 14, END_BYTES = 3 };

        for (int i = 0; i < 4; i++) {
                bool is_end = i / 2, is_too_much = i % 2;
                struct spender s;
                init(&s);
                pubs(&s, 400);
                pubs(&s, left(&s) - BEGIN_BYTES - (is_end ? END_BYTES : CHUNK_BYTES) + is_too_much);
                say_begin(s.pub, "t", 0, 0);
                CHECK_EQ(s.pub->packet.len, BEGIN_BYTES);
                fake_go(s.pub);
                CHECK(!s.pub->is_gone);
                if (is_end)
                        say_end(s.pub, 0);
                else
                        say_chunk(s.pub, "1234567890", CHUNK_BYTES - 4);
                fake_go(s.pub);
                CHECK_EQ(s.pub->is_gone, is_too_much);
                fake_close_all(&s.f);
                fake_deinit(&s.f);
        }
}

TEST(what_is_no_publication_costs_nothing)
{
        struct spender s;

        init(&s);
        pubs(&s, WINDOW);
        for (int i = 0; i < 100; i++) {
                say_ingress(s.pub, WIRE_INGRESS_NO_ECHO, 0);
                say_number(s.pub, WIRE_PING, 1);
                say_credit(s.pub, 1);
                say_bytes(s.pub, "91 40");
        }
        fake_go(s.pub);
        CHECK(!s.pub->is_gone);
        fake_deinit(&s.f);
}
