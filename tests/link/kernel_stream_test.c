/* The behaviour of Linux that proto/link/stream.c is built on, one fact a test; see
 * kernel_facts_test.c. What is said of descriptors is unix(7) and the reason for exact reads. */
#include "tests/link/support.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void stream_pair(int fds[2])
{
        raw_pair_of(SOCK_STREAM, fds);
}

static void close_pair(const int fds[2])
{
        close(fds[0]);
        close(fds[1]);
}

static void send_fds(int fd, const char *text, size_t n)
{
        CHECK_EQ(raw_send_fds(fd, text, strlen(text), n), strlen(text));
}

/* One read of up to `cap` bytes gives `text` and `n` descriptors. */
static void check_read(int fd, size_t cap, const char *text, size_t n)
{
        char buf[64];
        size_t got_n = 0;
        int flags = 0;

        CHECK_EQ(raw_recv_fds(fd, buf, cap, 8, &got_n, &flags), strlen(text));
        CHECK_BYTES(buf, text, strlen(text));
        CHECK_EQ(got_n, n);
        CHECK_EQ(flags, 0);
}

/* F1, the other way round than on SEQPACKET: nothing is ahead of the data. */
TEST(a_peer_that_left_with_unread_input_causes_a_reset_behind_its_data)
{
        int fds[2];

        stream_pair(fds);
        raw_send(fds[1], "unread");
        raw_send(fds[0], "m1");
        raw_send(fds[0], "m2");
        close(fds[0]);
        raw_recv(fds[1], "m1m2");
        CHECK_EQ(raw_recv_errno(fds[1]), ECONNRESET);
        CHECK_EQ(recv(fds[1], fds, 1, 0), 0);
        CHECK_EQ(recv(fds[1], fds, 1, 0), 0);
        close(fds[1]);
}

/* A failed send takes that reset away or leaves it; the data stays. */
TEST(what_a_gone_peer_sent_is_still_there_after_a_failed_send)
{
        int fds[2];

        stream_pair(fds);
        raw_send(fds[1], "unread");
        raw_send(fds[0], "m1");
        close(fds[0]);
        CHECK_EQ(send(fds[1], "x", 1, MSG_NOSIGNAL), -1);
        CHECK(errno == EPIPE || errno == ECONNRESET);
        raw_recv(fds[1], "m1");
        close(fds[1]);
}

TEST(descriptors_come_with_the_first_byte_of_their_write_and_once)
{
        int fds[2];

        stream_pair(fds);
        send_fds(fds[0], "abc", 2);
        check_read(fds[1], 1, "a", 2);
        check_read(fds[1], 1, "b", 0);
        check_read(fds[1], 8, "c", 0);
        close_pair(fds);
}

/* Who reads further than its packet gets the next packet's descriptors with this one's bytes. */
TEST(a_read_does_not_stop_ahead_of_descriptors)
{
        int fds[2];

        stream_pair(fds);
        send_fds(fds[0], "ab", 0);
        send_fds(fds[0], "cd", 1);
        check_read(fds[1], 8, "abcd", 1);
        close_pair(fds);
}

/* And who does not read further gets its own alone. */
TEST(an_exact_read_leaves_the_next_descriptors_alone)
{
        int fds[2];

        stream_pair(fds);
        send_fds(fds[0], "ab", 1);
        send_fds(fds[0], "cd", 2);
        check_read(fds[1], 2, "ab", 1);
        check_read(fds[1], 2, "cd", 2);
        send_fds(fds[0], "ab", 0);
        send_fds(fds[0], "cd", 2);
        check_read(fds[1], 2, "ab", 0);
        check_read(fds[1], 2, "cd", 2);
        close_pair(fds);
}

/* Hence one read has the descriptors of one write at most, and control room for 253 is enough. */
TEST(a_read_stops_behind_the_bytes_of_a_write_with_descriptors)
{
        int fds[2];

        stream_pair(fds);
        send_fds(fds[0], "ab", 1);
        send_fds(fds[0], "cd", 1);
        send_fds(fds[0], "ef", 0);
        check_read(fds[1], 8, "ab", 1);
        check_read(fds[1], 8, "cd", 1);
        check_read(fds[1], 8, "ef", 0);
        close_pair(fds);
}

TEST(descriptors_without_a_byte_are_not_sent)
{
        int fds[2];

        stream_pair(fds);
        CHECK_EQ(raw_send_fds(fds[0], "", 0, 1), 0);
        CHECK_EQ(raw_recv_errno(fds[1]), EAGAIN);
        close_pair(fds);
}

/* The kernel cuts a long write into buffers of some 36 KiB and takes as many as it has room for. */
TEST(a_long_write_may_go_in_part_and_its_descriptors_with_the_first_part)
{
        static char out[65541], in[65541];
        size_t n = 0, n_fds = 0, got = 0;
        int fds[2], flags = 0;
        ssize_t sent;

        stream_pair(fds);
        do
                sent = raw_send_fds(fds[0], out, sizeof(out), 1);
        while (sent == (ssize_t)sizeof(out) && ++n < 1000);
        CHECK(n < 1000);
        if (sent > 0) /* and not EAGAIN at a border */
                CHECK((size_t)sent < sizeof(out));
        while (raw_recv_fds(fds[1], in, sizeof(in), 8, &got, &flags) > 0)
                n_fds += got;
        CHECK_EQ(n_fds, n + (sent > 0));
        close_pair(fds);
}

static int write_c_and_exit(void *context)
{
        return write(*(int *)context, "c", 1) == 1 ? 0 : 1;
}

/* Hence a piece of a packet has one writer; whether all pieces have the same is stream.c's. */
TEST(with_credentials_a_read_has_one_writer)
{
        int fds[2], on = 1;

        stream_pair(fds);
        CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        raw_send(fds[0], "a");
        raw_send(fds[0], "b");
        CHECK_EQ(reap(spawn(write_c_and_exit, &fds[0])), 0);
        raw_recv(fds[1], "ab");
        raw_recv(fds[1], "c");
        close_pair(fds);
}

TEST(descriptors_are_refused_before_a_byte_has_gone)
{
        static char bytes[65541];
        int fds[2];

        if (!kernel_can_refuse())
                TEST_SKIP("this kernel cannot refuse descriptors (Linux 6.16)");
        stream_pair(fds);
        struct link *l = link_of(fds[1], TRANSPORT_STREAM, NULL);
        CHECK_EQ(link_allow_fds(l, false), 0);
        CHECK_EQ(raw_send_fds(fds[0], bytes, sizeof(bytes), 1), -1);
        CHECK_EQ(errno, EPERM);
        CHECK_EQ(link_wait(l, POLLIN, 0), LINK_E_AGAIN);
        link_free(l);
        close(fds[0]);
}

/* What connect(2) says of a path, whatever type asks. Connecting for datagrams is not seen. */
TEST(a_live_socket_of_another_type_says_so_and_a_dead_one_refuses)
{
        static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(types) * ARRAY_LEN(types); i++) {
                int served = types[i % ARRAY_LEN(types)], asked = types[i / ARRAY_LEN(types)];
                struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
                const struct sockaddr *to = (const struct sockaddr *)&addr;
                int server = raw_bind(served, "s"), fd = raw_socket(asked);
                int r = connect(fd, to, sizeof(addr));
                CHECK_EQ(r < 0 ? errno : 0, served == asked ? 0 : EPROTOTYPE);
                close(fd);
                close(server);
                fd = raw_socket(asked);
                CHECK_EQ(connect(fd, to, sizeof(addr)), -1);
                CHECK_EQ(errno, ECONNREFUSED);
                close(fd);
                CHECK_EQ(unlink("s"), 0);
        }
        room_leave();
}
