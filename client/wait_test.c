/* Event loops: fd, events, timeout, process; and waiting without one. */
#include "client/fake_broker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

TEST(an_idle_handle_waits_for_input_alone)
{
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_fd(f.b), link_fd(f.b->link));
        CHECK_EQ(baton_events(f.b), POLLIN);
        CHECK_EQ(baton_timeout(f.b), -1);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK_EQ(baton_wait(f.b, 0), 0);
        CHECK_EQ(baton_wait(f.b, 1), 0);
        fake_close(&f);
}

TEST(wait_returns_when_an_answer_has_come)
{
        struct baton_publication p = {.topic = "t"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
        fake_say(&f, fake_ok(1, 2, 1));
        fake_send(&f);
        CHECK_EQ(baton_wait(f.b, -1), 0);
        CHECK_STR(notes.text, "done 2;");
        fake_close(&f);
}

/* Where packets come the receive itself waits; where none came poll does, which wakes nobody up
 * before its time. */
TEST(a_handle_that_waited_in_vain_polls_until_something_comes)
{
        struct fake f;

        fake_open(&f);
        CHECK(!f.b->in.is_quiet);
        CHECK_EQ(baton_wait(f.b, 1), 0);
        CHECK(!f.b->in.is_quiet); /* so short a wait was poll's */
        CHECK_EQ(baton_wait(f.b, LINK_RECV_WAIT_MS + 1), 0);
        CHECK(f.b->in.is_quiet);
        CHECK_EQ(baton_wait(f.b, LINK_RECV_WAIT_MS + 1), 0);
        fake_say(&f, fake_credit(1));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK(!f.b->in.is_quiet);
        CHECK(!f.b->in.sleeps);
        fake_close(&f);
}

TEST(credit_alone_does_not_end_a_wait)
{
        struct fake f;

        fake_open(&f);
        fake_say(&f, fake_credit(1));
        fake_send(&f);
        CHECK_EQ(baton_wait(f.b, 1), 0);
        CHECK_EQ(f.b->out.window, FAKE_WINDOW + 1);
        fake_close(&f);
}

static void nothing(int signal)
{
        (void)signal;
}

TEST(a_signal_ends_a_wait)
{
        struct sigaction act = {.sa_handler = nothing}, old;
        struct itimerval soon = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(sigaction(SIGALRM, &act, &old), 0);
        CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
        CHECK_EQ(baton_wait(f.b, -1), -EINTR);
        /* Other calls go on. */
        CHECK_EQ(baton_ping(f.b, 20), -ETIMEDOUT);
        CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
        CHECK_EQ(sigaction(SIGALRM, &old, NULL), 0);
        fake_close(&f);
}

TEST(a_ping_waits_for_its_own_pong)
{
        struct fake f;

        fake_open(&f);
        fake_say(&f, (struct message){.type = WIRE_PONG, .number = 99});
        fake_say(&f, fake_ok(1, 0, 1));
        fake_say(&f, (struct message){.type = WIRE_PONG, .number = 1});
        fake_send(&f);
        CHECK_EQ(baton_ping(f.b, 1000), 0);
        CHECK_EQ(fake_expect(&f, WIRE_PING).number, 1);
        fake_close(&f);
}

TEST(one_process_takes_a_fair_share_and_the_rest_is_still_readable)
{
        struct notes notes = {.len = 0};
        struct fake f;
        int n = 0, r;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        for (uint64_t i = 1; i <= 100; i++)
                fake_deliver(&f, i, sub, "a", "");
        CHECK_EQ(baton_process(f.b), IN_PACKETS_PER_TURN);
        struct pollfd p = {.fd = baton_fd(f.b), .events = baton_events(f.b)};
        CHECK_EQ(poll(&p, 1, 0), 1);
        while ((r = baton_process(f.b)) > 0)
                n += r;
        CHECK_EQ(n, 100 - IN_PACKETS_PER_TURN);
        fake_close(&f);
}

static void publish_three(baton *b, const struct baton_message *m, void *arg)
{
        (void)m;
        (void)arg;
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish(b, "t", "", 0), 0);
}

TEST(what_a_callback_publishes_leaves_together_when_it_returns)
{
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", publish_three, NULL);
        f.n_packets = 0;
        fake_deliver(&f, 1, sub, "a", "");
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 3);
        CHECK_EQ(f.n_packets, 1);
        /* Within the caller's own cork it stays. */
        baton_cork(f.b);
        fake_deliver(&f, 2, sub, "a", "");
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 3);
        /* A wait that may sleep sends it: the answer may depend on it. */
        baton_cork(f.b);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(baton_wait(f.b, 0), 0);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 1);
        fake_close(&f);
}

TEST(too_many_answers_awaited_is_an_error_and_not_a_memory_leak)
{
        struct baton_publication p = {.topic = "t"};
        struct fake f;

        fake_open(&f);
        int n = 0, r;
        while ((r = baton_publish_confirm(f.b, &p, NULL, NULL)) == 0) {
                (void)fake_skip(&f, WIRE_PUB);
                n++;
        }
        CHECK_EQ(r, -ENOBUFS);
        CHECK_EQ(n, CLIENT_PENDING);
        for (int i = 0; i < n; i += 4096)
                fake_say(&f, fake_ok((uint64_t)i + 1, 0, 4096));
        fake_say(&f, fake_credit(1 << 20));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(baton_publish_confirm(f.b, &p, NULL, NULL), 0);
        fake_close(&f);
}
