/* The suite of conformance.c, second part: what travels with a packet. */
#include "tests/link/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { FDS = 16 };

TEST(descriptors_arrive_with_their_packet_in_order_and_work)
{
        struct ends e;

        open_ends(&e);
        for (size_t n = 1; n <= FDS; n++) {
                struct fdset *sent = pipes_new(n, NULL), *got = NULL;
                char buf[8];
                size_t len = 0;
                CHECK_EQ(send_text(e.a, "before", NULL), 0);
                CHECK_EQ(send_text(e.a, "with", sent), 0);
                CHECK_EQ(send_text(e.a, "after", NULL), 0);
                CHECK_EQ(fdset_n(sent), n); /* still the sender's */
                fdset_unref(sent);

                check_text(e.b, "before");
                CHECK_EQ(link_recv(e.b, buf, sizeof(buf), &len, &got), 0);
                CHECK_EQ(len, 4);
                check_text(e.b, "after");
                CHECK_EQ(fdset_n(got), n);
                for (size_t i = 0; i < n; i++) {
                        char byte = 0;
                        CHECK_EQ(read(fdset_fds(got)[i], &byte, 1), 1);
                        CHECK_EQ(byte, 'a' + (int)i);
                        CHECK_EQ(fcntl(fdset_fds(got)[i], F_GETFD), FD_CLOEXEC);
                }
                fdset_unref(got);
                CHECK_EQ(yard_bury(&e.yard_b), n);
        }
        close_ends(&e);
}

TEST(as_many_descriptors_as_a_packet_may_have_arrive)
{
        struct fdset *sent, *got = NULL;
        size_t n = are_streams() ? LINK_STREAM_FDS : FDSET_MAX;
        char buf[8];
        size_t len = 0;
        struct ends e;

        open_ends(&e);
        sent = pipes_new(n, NULL);
        /* And there is room for credentials beside them, where there are any. */
        int r = link_ask_cred(e.b, true);
        CHECK(r == 0 || r == -EOPNOTSUPP);
        CHECK_EQ(send_text(e.a, "x", sent), 0);
        fdset_unref(sent);
        CHECK_EQ(link_recv(e.b, buf, sizeof(buf), &len, &got), 0);
        CHECK_EQ(fdset_n(got), n);
        fdset_unref(got);
        CHECK_EQ(yard_bury(&e.yard_b), n);
        close_ends(&e);
}

TEST(one_set_may_be_sent_to_many)
{
        struct fdset *sent;
        struct ends e;

        open_ends(&e);
        sent = pipes_new(2, NULL);
        for (int i = 0; i < 5; i++) {
                CHECK_EQ(send_text(e.a, "to b", sent), 0);
                CHECK_EQ(send_text(e.b, "to a", sent), 0);
        }
        fdset_unref(sent);
        for (int i = 0; i < 5; i++) {
                CHECK_EQ(recv_any(e.a), 0);
                CHECK_EQ(recv_any(e.b), 0);
        }
        CHECK_EQ(yard_bury(&e.yard_a), 10);
        CHECK_EQ(yard_bury(&e.yard_b), 10);
        close_ends(&e);
}

TEST(descriptors_that_nobody_received_are_not_leaked)
{
        struct fdset *sent;
        struct ends e;

        open_ends(&e);
        sent = pipes_new(3, NULL);
        CHECK_EQ(send_text(e.a, "x", sent), 0);
        CHECK_EQ(send_text(e.b, "x", sent), 0);
        fdset_unref(sent);
        close_ends(&e);
}

TEST(a_packet_longer_than_the_buffer_breaks_the_link_and_leaks_nothing)
{
        for (size_t n = 0; n <= 2; n += 2) {
                struct fdset *sent = n ? pipes_new(n, NULL) : NULL, *got = NULL;
                char buf[4];
                size_t len;
                struct ends e;
                open_ends(&e);
                CHECK_EQ(send_text(e.a, "12345", sent), 0);
                CHECK_EQ(link_recv(e.b, buf, sizeof(buf), &len, &got), LINK_E_BROKEN);
                CHECK_NULL(got);
                CHECK_EQ(yard_bury(&e.yard_b), n);
                fdset_unref(sent);
                close_ends(&e);
        }
}

LINUX_TEST(a_packet_may_carry_who_sent_it, "no credentials in packets")
{
        struct cred who;
        struct ends e;

        open_ends(&e);
        CHECK_EQ(send_text(e.a, "x", NULL), 0);
        check_text(e.b, "x");
        CHECK(!link_find_cred(e.b, &who));
        CHECK_EQ(link_ask_cred(e.b, true), 0);
        CHECK_EQ(send_text(e.a, "y", NULL), 0);
        check_text(e.b, "y");
        CHECK(link_find_cred(e.b, &who));
        CHECK_EQ(who.pid, getpid());
        CHECK_EQ(who.uid, geteuid());
        CHECK_EQ(who.gid, getegid());
        CHECK_EQ(link_ask_cred(e.b, false), 0);
        CHECK_EQ(send_text(e.a, "z", NULL), 0);
        check_text(e.b, "z");
        CHECK(!link_find_cred(e.b, &who));
        close_ends(&e);
}

TEST(the_peer_is_this_process)
{
        struct cred who;
        struct ends e;

        open_ends(&e);
        CHECK_EQ(cred_of_peer(link_fd(e.a), &who), 0);
        CHECK_EQ(who.pid, told_pid(getpid()));
        CHECK_EQ(cred_of_peer(link_fd(e.b), &who), 0);
        CHECK_EQ(who.uid, geteuid());
        close_ends(&e);
}
