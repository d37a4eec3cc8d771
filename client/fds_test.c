/* Descriptors, there and back. */
#include "client/fake_broker.h"
#include "client/fake_payload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TEST(descriptors_travel_in_a_packet_of_their_own)
{
        int fds[2];
        struct baton_publication p = {.topic = "t", .fds = fds, .n_fds = 2};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
        baton_cork(f.b);
        CHECK_EQ(baton_publish(f.b, "before", "", 0), 0);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        CHECK_EQ(baton_publish(f.b, "after", "", 0), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        CHECK(slice_is(fake_expect(&f, WIRE_PUB).pub.topic, "before"));
        CHECK_EQ(fdset_n(f.fds), 0);
        CHECK_EQ(fake_expect(&f, WIRE_PUB).pub.n_fds, 2);
        CHECK_EQ(fdset_n(f.fds), 2);
        CHECK(f.at == f.end);
        CHECK(slice_is(fake_expect(&f, WIRE_PUB).pub.topic, "after"));
        CHECK_EQ(f.n_packets, 3);
        /* They are still ours. */
        close(fds[0]);
        CHECK_EQ(baton_publish_with(f.b, &p), -EBADF);
        close(fds[1]);
        fake_close(&f);
}

TEST(descriptors_need_the_right)
{
        int fd = 0;
        struct baton_publication p = {.topic = "t", .fds = &fd, .n_fds = 1};
        struct fake f;

        fake_open_with(&f, FAKE_WINDOW, WIRE_RIGHT_PUBLISH);
        CHECK_EQ(baton_publish_with(f.b, &p), -EACCES);
        fake_say(&f, (struct message){.type = WIRE_RIGHTS, .number = WIRE_RIGHT_FDS});
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        p.n_fds = WIRE_FDS + 1;
        CHECK_EQ(baton_publish_with(f.b, &p), -EINVAL);
        fake_close(&f);
}

TEST(descriptors_are_taken_back_when_a_nonblocking_socket_is_full)
{
        int fd = 0;
        struct baton_publication p = {.topic = "t", .fds = &fd, .n_fds = 1};
        struct fake f;

        fake_open(&f);
        fake_fill(&f);
        uint64_t window = f.b->out.window;
        CHECK_EQ(baton_publish_with(f.b, &p), -EAGAIN);
        CHECK_EQ(f.b->out.window, window);
        while (baton_flush(f.b, 0) == -EAGAIN)
                (void)fake_skip(&f, WIRE_PUB);
        (void)fake_skip(&f, WIRE_PUB);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 1);
        fake_close(&f);
}

static void read_fds(baton *b, const struct baton_message *m, void *arg)
{
        char c = 0;

        (void)b;
        note(arg, "%u fds, %u withheld;", m->n_fds, m->fds_withheld);
        if (m->n_fds) {
                CHECK_EQ(read(m->fds[0], &c, 1), 1);
                CHECK_EQ(c, 'c');
                CHECK(fcntl(m->fds[0], F_GETFD) & FD_CLOEXEC);
        }
}

static struct fdset *one_fd(void)
{
        struct fdset *set;
        int fds[2];

        CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
        CHECK_EQ(write(fds[1], "c", 1), 1);
        close(fds[1]);
        CHECK_EQ(fdset_new_take(fds, 1, NULL, &set), 0);
        return set;
}

static void deliver_fd(struct fake *f, uint32_t sub)
{
        struct fdset *set = one_fd();
        struct message m = fake_pub("a", "x");

        m.pub.n_fds = 1;
        fake_say(f, fake_delivery(1, sub));
        fake_say(f, m);
        fake_send_fds(f, set);
        fdset_unref(set);
}

TEST(received_descriptors_live_as_long_as_the_callback_and_are_credited)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", read_fds, &notes);
        size_t before = test_open_fds();
        for (int i = 0; i < 4; i++)
                deliver_fd(&f, sub);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(test_open_fds(), before);
        CHECK_STR(notes.text, "1 fds, 0 withheld;1 fds, 0 withheld;1 fds, 0 withheld;"
                              "1 fds, 0 withheld;");
        for (uint64_t n = 0; n < 4;) { /* several at once, if they followed each other fast */
                struct msg_credit c = fake_expect(&f, WIRE_CREDIT).credit;
                CHECK_EQ(c.what, WIRE_CREDIT_FDS);
                n += c.amount;
                CHECK(c.amount >= 1 && n <= 4);
        }
        struct message m = fake_pub("a", "x");
        m.pub.n_fds = 2;
        struct message d = fake_delivery(5, sub);
        d.delivery.withheld = 2;
        fake_say(&f, d);
        fake_say(&f, m);
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK(strstr(notes.text, "0 fds, 2 withheld;"));
        fake_close(&f);
}

TEST(those_that_follow_each_other_are_credited_together_eight_at_most)
{
        enum { N = 20, MOST = 8 };
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", read_fds, &notes);
        for (int i = 0; i < N; i++)
                deliver_fd(&f, sub);
        CHECK_EQ(run(&f), 0);
        for (uint64_t n = 0; n < N;) {
                struct msg_credit c = fake_expect(&f, WIRE_CREDIT).credit;
                n += c.amount;
                CHECK(c.amount >= 1 && c.amount <= MOST && n <= N);
        }
        fake_close(&f);
}

static void expect_credit(baton *b, const struct baton_message *m, void *arg)
{
        struct fake *f = arg;

        (void)b;
        (void)m;
        CHECK_EQ(fake_expect(f, WIRE_CREDIT).credit.what, WIRE_CREDIT_FDS);
}

TEST(they_are_credited_before_the_callback_has_them)
{
        struct fake f;

        fake_open(&f);
        deliver_fd(&f, fake_subscribe(&f, "a", expect_credit, &f));
        CHECK_EQ(baton_process(f.b), 1);
        fake_close(&f);
}

TEST(descriptors_wait_in_the_inbox_with_their_message)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_with(&f, 20, FAKE_RIGHTS);
        uint32_t sub = fake_subscribe(&f, "a", read_fds, &notes);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        deliver_fd(&f, sub);
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        CHECK_STR(notes.text, "");
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "1 fds, 0 withheld;");
        /* Those that nobody dispatches are closed with the handle. */
        deliver_fd(&f, sub);
        fake_say(&f, fake_credit(5));
        fake_send(&f);
        CHECK_EQ(baton_flush(f.b, 0), 0);
        fake_close(&f);
}

TEST(wrong_descriptors_end_the_connection_and_are_closed)
{
        struct notes notes = {.len = 0};

        for (int i = 0; i < 5; i++) {
                struct fake f;
                fake_open(&f);
                uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
                struct fdset *set = one_fd();
                struct message m = fake_pub("a", "x");
                m.pub.n_fds = i >= 2 ? 1 : 0;
                if (i == 4)
                        m.type = WIRE_BEGIN;
                fake_say(&f, fake_delivery(1, sub));
                fake_say(&f, m);
                if (i == 1 || i == 3)
                        fake_say(&f, fake_pub("a", "x"));
                if (i == 4)
                        fake_say(&f, (struct message){.type = WIRE_END});
                fake_send_fds(&f, i == 2 ? NULL : set);
                fdset_unref(set);
                CHECK_EQ(run(&f), -EPROTO);
                fake_close(&f);
        }
        CHECK_STR(notes.text, "");
}

/* No descriptor more may be opened, until it is called with `false`. */
static void forbid_fds(bool on)
{
        static struct rlimit before;
        struct rlimit now;

        if (!on) {
                CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
                return;
        }
        int lowest = dup(0);
        CHECK(lowest >= 0);
        close(lowest);
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        now = before;
        now.rlim_cur = (rlim_t)lowest;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
}

TEST(what_our_own_limit_cuts_off_was_withheld)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", read_fds, &notes);
        deliver_fd(&f, sub);
        forbid_fds(true);
        CHECK_EQ(run(&f), 0);
        forbid_fds(false);
        CHECK_STR(notes.text, "0 fds, 1 withheld;");
        deliver_fd(&f, sub);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "0 fds, 1 withheld;1 fds, 0 withheld;");
        CHECK_EQ(fake_expect(&f, WIRE_CREDIT).credit.amount, 1); /* that one, too */
        CHECK_EQ(fake_expect(&f, WIRE_CREDIT).credit.amount, 1);
        fake_close(&f);
}

LINUX_TEST(a_payload_in_what_our_own_limit_cuts_off_is_a_gap, "no seals")
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        baton_set_gap(f.b, note_gap, &notes);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        fake_place(&f, sub, "a", 100000);
        forbid_fds(true);
        CHECK_EQ(run(&f), 0);
        forbid_fds(false);
        CHECK_STR(notes.text, "a lost 1 (not readable);");
        fake_place(&f, sub, "a", 100000);
        CHECK_EQ(run(&f), 0);
        fake_close(&f);
}
