/* Bursts at odd moments: what is gathered leaves by itself, whoever has it. */
#include "client/fake_burst.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 100 };

/* First: no burst has registered what happens at exit. */
static struct fake last;

static void publish_last(void)
{
        for (int i = 0; i < N; i++) {
                int r = baton_publish(last.b, "burst.test", &i, sizeof(i));
                if (r)
                        _exit(1);
        }
}

static void publishes_behind_the_handler(bool nonblocking)
{
        int status = 0;

        fake_open(&last);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                baton_set_nonblocking(last.b, true);
                (void)atexit(publish_last); /* runs behind what the first burst registers */
                fake_publish_n(&last, N);
                baton_set_nonblocking(last.b, nonblocking);
                exit(0);
        }
        fake_expect_n(&last, 0, N);
        fake_expect_n(&last, 0, N);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
        fake_close(&last);
}

TEST(what_an_exit_handler_publishes_leaves_too)
{
        publishes_behind_the_handler(true);
}

/* The socket takes a part of a packet: the rest is nobody's but the flusher's. */
TEST(the_rest_of_a_packet_leaves_a_stream_by_itself)
{
        enum { BIG = 60000 };
        static char big[BIG];
        struct message m;
        struct fake f;
        int n = 0, got = 0;

        fake_open_over(&f, SOCK_STREAM, fake_welcome(UINT32_MAX, FAKE_RIGHTS), 0);
        for (bool is_unsent = false; !is_unsent; n++) {
                CHECK_EQ(baton_publish(f.b, "burst.test", big, sizeof(big)), 0);
                baton_cork(f.b); /* the flusher's hands off, for a look */
                is_unsent = link_is_unsent(f.b->link);
                CHECK_EQ(baton_uncork(f.b), 0);
        }
        while (got < n) {
                if (fake_next(&f, &m))
                        got += m.type == WIRE_PUB;
                else
                        CHECK_EQ(link_wait(f.link, POLLIN, FAKE_PATIENCE_MS), 0);
        }
        fake_close(&f);
}

TEST(what_was_gathered_leaves_though_the_handle_blocks_only_now)
{
        struct fake f;

        fake_open(&f);
        baton_set_nonblocking(f.b, true);
        fake_publish_n(&f, N);
        baton_set_nonblocking(f.b, false);
        fake_expect_n(&f, 0, N);
        fake_close(&f);
}

static void leaves_though_a_payload_was_begun(uint64_t features)
{
        static const char big[30000];
        struct baton_publication p = {.topic = "begun"};
        struct message m;
        struct fake f;
        int i = 0, got = 0;

        fake_open_over(&f, SOCK_SEQPACKET, fake_welcome_large(UINT32_MAX, features), 0);
        baton_set_nonblocking(f.b, true);
        fake_publish_n(&f, N);
        CHECK_EQ(baton_begin(f.b, &p, 0, NULL, NULL), 0);
        baton_abandon(f.b);
        fake_expect_n(&f, 0, N);
        (void)fake_skip(&f, WIRE_PUB);
        /* A full socket, something behind it, and room for BEGIN. */
        while (baton_publish(f.b, "burst.test", big, sizeof(big)) == 0)
                i++;
        CHECK(f.b->out.len > 0);
        baton_set_nonblocking(f.b, false);
        CHECK_EQ(baton_begin(f.b, &p, 0, NULL, NULL), 0);
        while (got < i) {
                if (fake_next(&f, &m))
                        got += m.type == WIRE_PUB;
                else
                        CHECK_EQ(link_wait(f.link, POLLIN, FAKE_PATIENCE_MS), 0);
        }
        fake_close(&f);
}

TEST(a_burst_leaves_though_a_payload_was_begun)
{
        leaves_though_a_payload_was_begun(0);
        leaves_though_a_payload_was_begun(WIRE_FEATURE_MEMFD);
}

TEST(who_publishes_slowly_behind_a_burst_finds_out_that_the_broker_is_gone)
{
        struct fake f;
        int n = 0, r = 0;

        fake_open(&f);
        fake_publish_n(&f, N);
        f.link = link_free(f.link);
        while (r == 0 && n++ < 10) {
                r = baton_publish(f.b, "burst.test", &n, sizeof(n));
                CHECK_EQ(poll(NULL, 0, 5), 0);
        }
        CHECK_EQ(r, -ENOTCONN);
        fake_close(&f);
}

TEST(an_uncork_without_a_cork_does_no_harm)
{
        struct fake f;

        fake_open(&f);
        for (int round = 0; round < 200; round++) {
                fake_publish_n(&f, 50);
                CHECK_EQ(baton_uncork(f.b), 0);
                fake_expect_n(&f, 0, 50);
                fake_refund(&f);
                CHECK_EQ(baton_process(f.b), 0);
        }
        fake_close(&f);
}

static void uncork(baton *b, const struct baton_message *m, void *arg)
{
        (void)m;
        CHECK_EQ(baton_uncork(b), 0);
        ++*(int *)arg;
}

TEST(an_uncork_too_many_in_a_callback_does_not_cork_for_ever)
{
        struct fake f;
        int n = 0;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", uncork, &n);
        fake_deliver(&f, 1, sub, "a", "");
        CHECK_EQ(baton_wait(f.b, -1), 1);
        CHECK_EQ(n, 1);
        fake_publish_n(&f, N);
        fake_expect_n(&f, 0, N);
        fake_close(&f);
}
