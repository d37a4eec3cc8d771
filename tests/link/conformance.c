/* What a link promises, whatever lies under it: this suite runs once for each kind of address (see
 * BUILD). */
#include "tests/link/ends.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PACKET_BYTES = 65536 };

TEST(packets_keep_their_boundaries_and_their_order)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(send_text(e.a, "one", NULL), 0);
        CHECK_EQ(send_text(e.a, "2", NULL), 0);
        CHECK_EQ(send_text(e.a, "three", NULL), 0);
        check_text(e.b, "one");
        check_text(e.b, "2");
        check_text(e.b, "three");
        CHECK_EQ(recv_any(e.b), LINK_E_AGAIN);
        close_ends(&e);
}

TEST(both_directions_are_alike)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(send_text(e.b, "down", NULL), 0);
        CHECK_EQ(send_text(e.a, "up", NULL), 0);
        check_text(e.a, "down");
        check_text(e.b, "up");
        close_ends(&e);
}

TEST(a_packet_of_every_size_arrives_whole)
{
        static const size_t sizes[] = {1, 2, 4095, 4096, 4097, 32768, PACKET_BYTES};
        static uint8_t out[PACKET_BYTES], in[PACKET_BYTES + 1];
        struct ends e;

        open_ends(&e);
        fill(out, sizeof(out));
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct iovec iov = {.iov_base = out, .iov_len = sizes[i]};
                struct fdset *fds = NULL;
                size_t len = 0;
                CHECK_EQ(link_send(e.a, &iov, 1, NULL, 0), 0);
                CHECK_EQ(link_recv(e.b, in, sizeof(in), &len, &fds), 0);
                CHECK_EQ(len, sizes[i]);
                CHECK_BYTES(in, out, len);
        }
        close_ends(&e);
}

TEST(a_packet_may_fill_the_buffer_to_the_last_byte)
{
        static uint8_t out[PACKET_BYTES], in[PACKET_BYTES];
        struct iovec iov = {.iov_base = out, .iov_len = sizeof(out)};
        struct fdset *fds = NULL;
        size_t len = 0;
        struct ends e;

        open_ends(&e);
        CHECK_EQ(link_send(e.a, &iov, 1, NULL, 0), 0);
        CHECK_EQ(link_recv(e.b, in, sizeof(in), &len, &fds), 0);
        CHECK_EQ(len, sizeof(in));
        close_ends(&e);
}

TEST(several_pieces_are_one_packet)
{
        struct iovec iov[] = {{(char *)"ab", 2}, {NULL, 0}, {(char *)"c", 1}, {(char *)"defg", 4}};
        struct ends e;

        open_ends(&e);
        CHECK_EQ(link_send(e.a, iov, ARRAY_LEN(iov), NULL, 0), 0);
        check_text(e.b, "abcdefg");
        close_ends(&e);
}

TEST(a_thousand_pieces_are_one_packet)
{
        static uint8_t out[LINK_IOV_MAX * 64], in[LINK_IOV_MAX * 64];
        static struct iovec iov[LINK_IOV_MAX];
        struct fdset *fds = NULL;
        size_t len = 0;
        struct ends e;

        open_ends(&e);
        fill(out, sizeof(out));
        for (size_t i = 0; i < LINK_IOV_MAX; i++)
                iov[i] = (struct iovec){.iov_base = out + 64 * i, .iov_len = 64};
        CHECK_EQ(link_send(e.a, iov, LINK_IOV_MAX, NULL, 0), 0);
        CHECK_EQ(link_recv(e.b, in, sizeof(in), &len, &fds), 0);
        CHECK_EQ(len, sizeof(in));
        CHECK_BYTES(in, out, len);
        close_ends(&e);
}

TEST(nothing_to_receive_is_not_the_end)
{
        size_t len = 99;
        struct fdset *fds = (struct fdset *)&len;
        char buf[8];
        struct ends e;

        open_ends(&e);
        CHECK_EQ(link_recv(e.b, buf, sizeof(buf), &len, &fds), LINK_E_AGAIN);
        CHECK_EQ(len, 99); /* outputs are left alone */
        CHECK(fds == (struct fdset *)&len);
        CHECK_EQ(send_text(e.a, "x", NULL), 0);
        CHECK_EQ(recv_any(e.b), 0);
        CHECK_EQ(recv_any(e.b), LINK_E_AGAIN);
        close_ends(&e);
}

TEST(the_end_comes_after_the_last_packet_and_stays)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(send_text(e.a, "last", NULL), 0);
        e.a = link_free(e.a);
        check_text(e.b, "last");
        CHECK_EQ(recv_any(e.b), LINK_E_EOF);
        CHECK_EQ(recv_any(e.b), LINK_E_EOF);
        CHECK_EQ(send_text(e.b, "x", NULL), LINK_E_GONE);
        close_ends(&e);
}

TEST(a_peer_that_has_only_shut_down_can_still_be_answered)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(send_text(e.a, "last", NULL), 0);
        CHECK_EQ(shutdown(link_fd(e.a), SHUT_WR), 0);
        check_text(e.b, "last");
        CHECK_EQ(recv_any(e.b), LINK_E_EOF);
        CHECK_EQ(send_text(e.b, "answer", NULL), 0);
        check_text(e.a, "answer");
        close_ends(&e);
}

TEST(what_a_gone_peer_sent_is_received_after_a_failed_send)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(send_text(e.b, "unread", NULL), 0);
        CHECK_EQ(send_text(e.a, "m1", NULL), 0);
        CHECK_EQ(send_text(e.a, "m2", NULL), 0);
        e.a = link_free(e.a);
        CHECK_EQ(send_text(e.b, "x", NULL), LINK_E_GONE);
        CHECK_EQ(send_text(e.b, "x", NULL), LINK_E_GONE);
        check_text(e.b, "m1");
        check_text(e.b, "m2");
        CHECK_EQ(recv_any(e.b), LINK_E_EOF);
        close_ends(&e);
}

/* Sends packets of `size` bytes until there is no room; returns how many went. */
static size_t stuff(struct link *l, size_t size)
{
        static uint8_t bytes[PACKET_BYTES];
        struct iovec iov = {.iov_base = bytes, .iov_len = size};
        size_t n = 0;
        int r;

        while ((r = link_send(l, &iov, 1, NULL, 0)) == 0)
                n++;
        CHECK_EQ(r, LINK_E_AGAIN);
        return n;
}

TEST(a_full_link_says_so_and_takes_packets_again_once_read)
{
        struct ends e;

        open_ends(&e);
        size_t n = stuff(e.a, 1000);
        CHECK(n >= 50);
        CHECK_EQ(link_wait(e.a, POLLOUT, 0), LINK_E_AGAIN);
        for (size_t i = 0; i < n; i++)
                CHECK_EQ(recv_at_b(&e), 0);
        CHECK_EQ(recv_at_b(&e), LINK_E_AGAIN);
        CHECK_EQ(link_wait(e.a, POLLOUT, 0), 0);
        CHECK_EQ(send_text(e.a, "x", NULL), 0);
        close_ends(&e);
}

TEST(at_least_two_of_the_largest_packets_fit)
{
        struct ends e;

        open_ends(&e);
        CHECK(stuff(e.a, PACKET_BYTES) >= 2);
        CHECK(stuff(e.b, PACKET_BYTES) >= 2);
        close_ends(&e);
}

TEST(room_is_made_for_a_last_word)
{
        static const size_t sizes[] = {1, 1000, PACKET_BYTES};
        struct ends e;

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                open_ends(&e);
                size_t n = stuff(e.a, sizes[i]);
                CHECK_EQ(link_make_room(e.a, 8), 0);
                CHECK_EQ(send_text(e.a, "goodbye!", NULL), 0);
                CHECK(!link_is_unsent(e.a));
                while (n--)
                        CHECK_EQ(recv_any(e.b), 0);
                check_text(e.b, "goodbye!");
                close_ends(&e);
        }
}

TEST(waiting_ends_with_a_packet_with_the_end_or_with_the_time)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(link_wait(e.b, POLLIN, 0), LINK_E_AGAIN);
        CHECK_EQ(link_wait(e.b, POLLIN, 1), LINK_E_AGAIN);
        CHECK_EQ(link_wait(e.b, POLLIN | POLLOUT, -1), 0);
        CHECK_EQ(send_text(e.a, "x", NULL), 0);
        CHECK_EQ(link_wait(e.b, POLLIN, -1), 0);
        CHECK_EQ(recv_any(e.b), 0);
        e.a = link_free(e.a);
        CHECK_EQ(link_wait(e.b, POLLIN, -1), 0);
        CHECK_EQ(recv_any(e.b), LINK_E_EOF);
        close_ends(&e);
}

static int recv_wait(struct link *l)
{
        uint8_t in[PACKET_BYTES];
        struct fdset *fds = NULL;
        size_t len = 0;

        return link_recv_wait(l, in, sizeof(in), &len, &fds);
}

/* A stream does not wait, which is allowed. */
TEST(who_has_nothing_else_to_do_waits_in_the_receive)
{
        struct ends e;
        int r, status;

        open_ends(&e);
        CHECK_EQ(recv_wait(e.b), LINK_E_AGAIN);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
                _exit(send_text(e.a, "later", NULL));
        while ((r = recv_wait(e.b)) == LINK_E_AGAIN)
                CHECK_EQ(link_wait(e.b, POLLIN, -1), 0);
        CHECK_EQ(r, 0);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        /* Another who has the socket makes it nonblocking. */
        CHECK_EQ(fcntl(link_fd(e.b), F_SETFL, O_NONBLOCK), 0);
        CHECK_EQ(recv_wait(e.b), LINK_E_AGAIN);
        e.a = link_free(e.a);
        CHECK_EQ(recv_wait(e.b), LINK_E_EOF);
        close_ends(&e);
}

TEST(the_socket_does_not_block_and_is_not_inherited)
{
        struct ends e;

        open_ends(&e);
        CHECK(fcntl(link_fd(e.a), F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(link_fd(e.b), F_GETFL) & O_NONBLOCK);
        CHECK_EQ(fcntl(link_fd(e.a), F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(link_fd(e.b), F_GETFD), FD_CLOEXEC);
        close_ends(&e);
}

TEST(a_link_serves_although_somebody_made_its_socket_blocking)
{
        struct ends e;

        open_ends(&e);
        CHECK_EQ(fcntl(link_fd(e.a), F_SETFL, 0), 0);
        CHECK_EQ(fcntl(link_fd(e.b), F_SETFL, 0), 0);
        CHECK_EQ(recv_any(e.b), LINK_E_AGAIN);
        CHECK(stuff(e.a, 1000) > 0);
        close_ends(&e);
}
