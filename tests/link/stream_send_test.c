/* What a stream's sender does when the kernel takes a packet in part. */
#include "tests/link/support.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 5, PACKETS = 300, SMALL = 4608 };

/* A link that sends, with as little room as the kernel gives, and a bare socket at the other end.
 */
struct tight {
        struct link *link;
        int raw;
};

static void open_tight(struct tight *t)
{
        int fds[2], least = 0;

        raw_pair_of(SOCK_STREAM, fds);
        t->link = link_of(fds[0], TRANSPORT_STREAM, NULL);
        t->raw = fds[1];
        CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
}

static void close_tight(struct tight *t)
{
        link_free(t->link);
        if (t->raw >= 0)
                close(t->raw);
}

static int send_one(struct link *l, const void *bytes, size_t len, const struct fdset *fds)
{
        struct iovec iov[] = {
                {(void *)bytes, len / 3},
                {NULL, 0},
                {(uint8_t *)bytes + len / 3, len - len / 3},
        };

        return link_send(l, iov, ARRAY_LEN(iov), fdset_fds(fds), fdset_n(fds));
}

TEST(a_packet_is_led_by_its_length)
{
        static const char ping[] = "\xce\0\0\0\3\x92\x05\x63"; /* PROTOCOL.md part 10 */
        char buf[16];
        struct tight t;

        open_tight(&t);
        CHECK_EQ(send_one(t.link, "\x92\x05\x63", 3, NULL), 0);
        CHECK(!link_is_unsent(t.link));
        CHECK_EQ(recv(t.raw, buf, sizeof(buf), 0), 8);
        CHECK_BYTES(buf, ping, 8);
        close_tight(&t);
}

TEST(a_packet_that_is_too_long_is_refused_whole)
{
        static uint8_t bytes[LINK_PACKET_BYTES + 1];
        struct fdset *set = pipes_new(1, NULL);
        struct tight t;

        open_tight(&t);
        CHECK_EQ(send_one(t.link, bytes, sizeof(bytes), set), LINK_E_TOO_BIG);
        CHECK(!link_is_unsent(t.link));
        CHECK_EQ(raw_recv_errno(t.raw), EAGAIN);
        fdset_unref(set);
        close_tight(&t);
}

/* Every length of what the kernel takes at first: it depends on what else waits. */
TEST(a_packet_sent_in_part_arrives_whole_and_its_descriptors_once)
{
        static uint8_t out[LINK_PACKET_BYTES], in[HEAD + sizeof(out)];
        struct fdset *set = pipes_new(3, NULL);
        struct tight t;
        size_t n = 0, n_fds = 0, part = 0;
        int flags = 0;

        open_tight(&t);
        fill(out, sizeof(out));
        CHECK_EQ(send_one(t.link, out, sizeof(out), set), 0);
        fdset_unref(set); /* the link needs it no more */
        CHECK(link_is_unsent(t.link));
        CHECK_EQ(send_text(t.link, "another", NULL), LINK_E_AGAIN);
        CHECK_EQ(link_flush(t.link), LINK_E_AGAIN);
        while (n < sizeof(in)) {
                size_t want = size_min(1000, sizeof(in) - n);
                ssize_t got = raw_recv_fds(t.raw, in + n, want, 8, &part, &flags);
                CHECK(got > 0);
                n += (size_t)got;
                n_fds += part;
                int r = link_flush(t.link);
                CHECK_EQ(r, link_is_unsent(t.link) ? LINK_E_AGAIN : 0);
        }
        CHECK_EQ(n_fds, 3);
        CHECK_EQ(flags, 0);
        CHECK_BYTES(in, "\xce\0\1\0\0", HEAD);
        CHECK_BYTES(in + HEAD, out, sizeof(out));
        CHECK(!link_is_unsent(t.link));
        CHECK_EQ(raw_recv_errno(t.raw), EAGAIN);
        close_tight(&t);
}

/* Packet `i` of a traffic: its length, its content, its descriptors follow from its number. */
static size_t packet_of(size_t i, uint8_t *out)
{
        size_t len = 1 + i * i * 7 % (i % 10 ? 900 : 30000);

        for (size_t k = 0; k < len; k++)
                out[k] = pattern(i + k);
        return len;
}

static size_t fds_of(size_t i)
{
        return i % 5 ? 0 : i % 4 + 1;
}

/* Sends packets from `*i` on until there is no room. */
static void send_some(struct link *l, size_t *i, size_t *n_partial)
{
        static uint8_t out[30001];

        for (int r = 0; *i < PACKETS && r == 0;) {
                struct fdset *set = fds_of(*i) ? pipes_new(fds_of(*i), NULL) : NULL;
                bool was_unsent = link_is_unsent(l);
                r = send_one(l, out, packet_of(*i, out), set);
                fdset_unref(set);
                CHECK(r == 0 || r == LINK_E_AGAIN);
                *i += r == 0;
                *n_partial += r == 0 && link_is_unsent(l);
                if (r == LINK_E_AGAIN && was_unsent)
                        CHECK_EQ(link_wait(l, POLLOUT, 0), LINK_E_AGAIN);
        }
}

/* Receives up to `most` packets from `*i` on. */
static void recv_some(struct link *l, size_t *i, size_t most)
{
        static uint8_t in[LINK_PACKET_BYTES], expected[30001];
        struct fdset *set = NULL;
        size_t len = 0;

        while (most-- && link_recv(l, in, sizeof(in), &len, &set) == 0) {
                CHECK_EQ(len, packet_of(*i, expected));
                CHECK_BYTES(in, expected, len);
                CHECK_EQ(fdset_n(set), fds_of(*i));
                set = fdset_unref(set);
                ++*i;
        }
}

TEST(nothing_is_lost_or_reordered_over_a_full_socket)
{
        size_t sent = 0, received = 0, n_partial = 0;
        struct tight t;

        open_tight(&t);
        struct link *in = link_of(t.raw, TRANSPORT_STREAM, NULL);
        t.raw = -1;
        for (int turns = 0; received < PACKETS; turns++) {
                CHECK(turns < 100000);
                send_some(t.link, &sent, &n_partial);
                if (sent == PACKETS && link_is_unsent(t.link)) {
                        int r = link_flush(t.link);
                        CHECK(r == 0 || r == LINK_E_AGAIN);
                }
                recv_some(in, &received, 1 + (size_t)turns % 3);
        }
        CHECK(n_partial > 0);
        CHECK_EQ(recv_any(in), LINK_E_AGAIN);
        link_free(in);
        close_tight(&t);
}

TEST(poll_says_when_to_flush)
{
        static uint8_t out[LINK_PACKET_BYTES], in[HEAD + sizeof(out)];
        struct tight t;
        size_t n = 0;

        open_tight(&t);
        CHECK_EQ(send_one(t.link, out, sizeof(out), NULL), 0);
        while (link_is_unsent(t.link)) {
                CHECK_EQ(link_wait(t.link, POLLOUT, 0), LINK_E_AGAIN);
                ssize_t got;
                while ((got = recv(t.raw, in, sizeof(in), 0)) > 0)
                        n += (size_t)got;
                CHECK_EQ(link_wait(t.link, POLLOUT, 0), 0);
                CHECK(link_flush(t.link) <= LINK_E_AGAIN);
        }
        n += (size_t)recv(t.raw, in, sizeof(in), 0);
        CHECK_EQ(n, sizeof(in));
        close_tight(&t);
}

TEST(a_rest_that_nobody_will_read_is_forgotten)
{
        static uint8_t out[LINK_PACKET_BYTES];
        struct tight t;

        open_tight(&t);
        raw_send(t.raw, "\xce");
        CHECK_EQ(send_one(t.link, out, sizeof(out), NULL), 0);
        CHECK(link_is_unsent(t.link));
        close(t.raw);
        t.raw = -1;
        CHECK_EQ(link_flush(t.link), LINK_E_GONE);
        CHECK(!link_is_unsent(t.link));
        CHECK_EQ(link_flush(t.link), LINK_E_GONE);
        CHECK_EQ(send_text(t.link, "x", NULL), LINK_E_GONE);
        CHECK_EQ(recv_any(t.link), LINK_E_EOF);
        close_tight(&t);
}

TEST(a_rest_is_not_leaked)
{
        static uint8_t out[LINK_PACKET_BYTES];
        struct fdset *set = pipes_new(2, NULL);
        struct tight t;

        open_tight(&t);
        CHECK_EQ(send_one(t.link, out, sizeof(out), set), 0);
        CHECK(link_is_unsent(t.link));
        fdset_unref(set);
        close_tight(&t);
}

TEST(room_is_made_for_a_last_word_behind_a_rest)
{
        static const size_t sizes[] = {5000, 36540, 40000, LINK_PACKET_BYTES};
        static uint8_t out[LINK_PACKET_BYTES];

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct tight t;
                open_tight(&t);
                struct link *in = link_of(t.raw, TRANSPORT_STREAM, NULL);
                t.raw = -1;
                CHECK_EQ(send_one(t.link, out, sizes[i], NULL), 0);
                CHECK(link_is_unsent(t.link));
                CHECK_EQ(link_make_room(t.link, 8), 0);
                CHECK_EQ(send_text(t.link, "goodbye!", NULL), 0);
                CHECK(!link_is_unsent(t.link));
                CHECK_EQ(recv_any(in), 0);
                check_text(in, "goodbye!");
                link_free(in);
                close_tight(&t);
        }
}

TEST(a_seqpacket_link_keeps_nothing)
{
        struct link *a, *b;

        CHECK_EQ(link_pair(NULL, NULL, &a, &b), 0);
        CHECK(!link_is_unsent(a));
        CHECK_EQ(link_flush(a), 0);
        link_free(a);
        link_free(b);
}
