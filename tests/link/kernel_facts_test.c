/* The behaviour of Linux that proto/link is built on, one fact a test, first bare, then as a link
 * shows it. If a kernel changes one of them, this says which. */
#include "tests/link/support.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { DEFAULT_SNDBUF = 212992, SKB_RESERVE = 32 };

/* F1 */
TEST(a_peer_that_left_with_unread_input_causes_a_reset_ahead_of_its_packets)
{
        int fds[2];

        raw_pair(fds);
        raw_send(fds[1], "unread");
        raw_send(fds[0], "m1");
        raw_send(fds[0], "m2");
        close(fds[0]);
        CHECK_EQ(raw_recv_errno(fds[1]), ECONNRESET);
        raw_recv(fds[1], "m1");
        raw_recv(fds[1], "m2");
        CHECK_EQ(recv(fds[1], fds, 1, 0), 0);
        close(fds[1]);
}

/* F1 */
TEST(a_packet_sent_before_exit_is_still_delivered)
{
        int fds[2];

        raw_pair(fds);
        raw_send(fds[1], "unread");
        raw_send(fds[0], "m1");
        raw_send(fds[0], "m2");
        close(fds[0]);
        struct link *l = raw_adopt(fds[1], NULL);
        check_text(l, "m1");
        check_text(l, "m2");
        CHECK_EQ(recv_any(l), LINK_E_EOF);
        link_free(l);
}

/* F1, with a process that ends. */
TEST(the_last_words_of_a_process_are_still_delivered)
{
        int fds[2];

        raw_pair(fds);
        raw_send(fds[1], "unread");
        pid_t pid = spawn(send_and_exit, &fds[0]);
        close(fds[0]);
        CHECK_EQ(reap(pid), 0);
        struct link *l = raw_adopt(fds[1], NULL);
        check_text(l, LAST_WORDS);
        CHECK_EQ(recv_any(l), LINK_E_EOF);
        link_free(l);
}

struct polled {
        struct link *link;
        int status, calls;
};

static void on_poll(uv_poll_t *handle, int status, int events)
{
        struct polled *p = handle->data;

        (void)events;
        p->status = status;
        p->calls++;
        uv_poll_stop(handle);
}

/* F2: libuv reports that reset as an error of the descriptor, although packets wait. */
TEST(a_uv_poll_status_below_zero_still_means_drain)
{
        struct polled p = {0};
        uv_loop_t loop;
        uv_poll_t handle;
        int fds[2];

        raw_pair(fds);
        raw_send(fds[1], "unread");
        raw_send(fds[0], "m1");
        raw_send(fds[0], "m2");
        close(fds[0]);
        p.link = raw_adopt(fds[1], NULL);
        CHECK_EQ(uv_loop_init(&loop), 0);
        CHECK_EQ(uv_poll_init(&loop, &handle, link_fd(p.link)), 0);
        handle.data = &p;
        CHECK_EQ(uv_poll_start(&handle, UV_READABLE | UV_DISCONNECT, on_poll), 0);
        uv_run(&loop, UV_RUN_DEFAULT);
        CHECK_EQ(p.calls, 1);
        CHECK_EQ(p.status, UV_EBADF);
        check_text(p.link, "m1");
        check_text(p.link, "m2");
        CHECK_EQ(recv_any(p.link), LINK_E_EOF);
        uv_close((uv_handle_t *)&handle, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        CHECK_EQ(uv_loop_close(&loop), 0);
        uv_library_shutdown(); /* it keeps a pipe for signals otherwise */
        link_free(p.link);
}

/* F3 */
TEST(an_empty_packet_cannot_be_told_from_the_end)
{
        int fds[2];

        raw_pair(fds);
        CHECK_EQ(send(fds[0], "", 0, MSG_NOSIGNAL), 0);
        struct link *l = raw_adopt(fds[1], NULL);
        CHECK_EQ(recv_any(l), LINK_E_EOF);
        CHECK_EQ(recv_any(l), LINK_E_AGAIN); /* and it was not */
        link_free(l);
        close(fds[0]);
}

static int send_bytes(struct link *l, size_t n)
{
        static uint8_t bytes[1 << 20];
        struct iovec iov = {.iov_base = bytes, .iov_len = n};

        return link_send(l, &iov, 1, NULL, 0);
}

static int send_buffer(int fd)
{
        int bytes;
        socklen_t len = sizeof(bytes);

        CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &len), 0);
        return bytes;
}

static void set_send_buffer(int fd, int bytes)
{
        int half = bytes / 2;

        CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)), 0);
}

/* F4 */
TEST(the_largest_packet_is_the_send_buffer_less_32_bytes)
{
        int fds[2];

        raw_pair(fds);
        set_send_buffer(fds[0], DEFAULT_SNDBUF);
        struct link *l = raw_adopt(fds[0], NULL);
        CHECK_EQ(send_buffer(fds[0]), DEFAULT_SNDBUF);
        CHECK_EQ(send_bytes(l, DEFAULT_SNDBUF - SKB_RESERVE + 1), LINK_E_TOO_BIG);
        CHECK_EQ(send_bytes(l, DEFAULT_SNDBUF - SKB_RESERVE), 0);
        link_free(l);
        close(fds[1]);
}

/* F5: the receiver's buffer has no say in what comes, the sender's decides what goes. */
TEST(what_a_larger_buffer_sent_cannot_be_forwarded_over_a_smaller_one)
{
        static uint8_t in[1 << 20];
        struct fdset *set;
        size_t len = 0;
        int up[2], down[2];

        raw_pair(up);
        raw_pair(down);
        set_send_buffer(up[0], DEFAULT_SNDBUF * 2);
        struct link *publisher = raw_adopt(up[0], NULL), *input = raw_adopt(up[1], NULL);
        struct link *output = raw_adopt(down[0], NULL);
        CHECK_EQ(send_bytes(publisher, 300000), 0);
        CHECK_EQ(link_recv(input, in, sizeof(in), &len, &set), 0);
        CHECK_EQ(len, 300000);
        CHECK_EQ(send_bytes(output, len), LINK_E_TOO_BIG);
        /* So the receiver's cap is the limit, on input. */
        CHECK_EQ(send_bytes(publisher, 65537), 0);
        CHECK_EQ(link_recv(input, in, 65536, &len, &set), LINK_E_BROKEN);
        link_free(publisher);
        link_free(input);
        link_free(output);
        close(down[1]);
}

/* F4, F5 */
TEST(a_link_has_room_for_packets_whatever_buffer_its_socket_came_with)
{
        int fds[2];

        raw_pair(fds);
        set_send_buffer(fds[0], 0);
        CHECK(send_buffer(fds[0]) < 65536);
        struct link *a = raw_adopt(fds[0], NULL), *b = raw_adopt(fds[1], NULL);
        CHECK(send_buffer(fds[0]) >= LINK_SEND_BYTES);
        CHECK_EQ(send_bytes(a, 65536), 0);
        CHECK_EQ(recv_any(b), 0);
        link_free(a);
        link_free(b);
}

/* F9 */
TEST(an_abstract_name_can_be_bound_once_for_each_type_of_socket)
{
        struct address a = broker_address("@twice");
        struct listener_why why;
        struct listener *l, *second = NULL;
        int stream = raw_bind_abstract(SOCK_STREAM, "twice");

        l = open_listener("@twice"); /* no EADDRINUSE */
        CHECK_EQ(listener_open(&a, 1, &second, &why), LISTENER_E_TAKEN);
        CHECK_NULL(second);
        /* And each is found by its own clients alone. */
        struct link *client = connect_to("@twice", NULL);
        struct link *server = accept_from(l, NULL);
        link_free(client);
        link_free(server);
        listener_close(l);
        close(stream);
}

/* F9, the client's side: with a stream squatter alone there is nobody. */
TEST(an_abstract_name_of_another_type_is_nobody)
{
        struct address a = client_address("@stream-only");
        int stream = raw_bind_abstract(SOCK_STREAM, "stream-only");
        struct link_why why;
        struct link *l = NULL;
        struct cred who;

        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), LINK_E_ABSENT);
        CHECK_STR(why.text, "connection refused (is the broker running?)");
        close(stream);
}

/* F10 */
TEST(a_bound_path_has_the_mode_that_the_umask_leaves)
{
        static const mode_t masks[] = {0, 022, 077, 0777 & ~0660, 0777};
        struct stat st;

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
                mode_t before = umask(masks[i]);
                int fd = raw_bind(SOCK_SEQPACKET, "s");
                umask(before);
                CHECK_EQ(lstat("s", &st), 0);
                CHECK_EQ(st.st_mode & 0777, 0777 & ~masks[i]);
                close(fd);
                CHECK_EQ(unlink("s"), 0);
        }
        room_leave();
}

/* listen(n) lets n + 1 in; the next is told so and may try again. */
TEST(a_full_backlog_says_busy)
{
        struct address a = broker_address("@full");
        struct listener_why listener_why;
        struct listener *l = NULL;
        struct link_why why;
        struct link *first, *second = NULL, *accepted;
        struct cred who;

        CHECK_EQ(listener_open(&a, 0, &l, &listener_why), 0);
        first = connect_to("@full", NULL);
        CHECK_EQ(link_connect(&a, NULL, &second, &who, &why), LINK_E_BUSY);
        CHECK_STR(why.text, "its backlog is full");
        accepted = accept_from(l, NULL);
        second = connect_to("@full", NULL);
        link_free(first);
        link_free(second);
        link_free(accepted);
        listener_close(l);
}

TEST(only_a_socket_of_the_transport_becomes_a_link)
{
        static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
        static const enum transport transports[] = {TRANSPORT_SEQPACKET, TRANSPORT_STREAM};
        struct link *l = NULL;
        int fds[2];

        for (size_t i = 0; i < ARRAY_LEN(types) * ARRAY_LEN(transports); i++) {
                size_t type = i / ARRAY_LEN(transports), transport = i % ARRAY_LEN(transports);
                CHECK_EQ(socketpair(AF_UNIX, types[type], 0, fds), 0);
                CHECK_EQ(link_new_adopt(fds[0], transports[transport], NULL, &l),
                        type == transport ? 0 : LINK_E_WRONG_TYPE);
                l = link_free(l);
                close(fds[1]);
        }
        for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
                int tcp = socket(AF_INET, SOCK_STREAM, 0);
                CHECK_EQ(link_new_adopt(tcp, transports[i], NULL, &l), LINK_E_WRONG_TYPE);
                CHECK_EQ(link_new_adopt(dup(0), transports[i], NULL, &l), -ENOTSOCK);
        }
        CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
        CHECK_EQ(link_new_adopt(fds[0], TRANSPORT_DGRAM, NULL, &l), LINK_E_UNSUPPORTED);
        close(fds[1]);
        CHECK_NULL(l); /* and all of them were closed: the runner counts */
}
