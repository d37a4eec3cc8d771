/* What a stream's receiver makes of packets that come in any pieces. */
#include "tests/link/fed.h"

#include <string.h>
#include <sys/socket.h>

TEST(a_packet_fed_byte_by_byte_is_one_packet_and_poll_is_truthful)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "byte by byte", 12);
        struct fed f;

        open_fed(&f);
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < n - 1; i++) {
                        feed(&f, bytes + i, 1, 0);
                        CHECK(is_readable(&f));
                        CHECK_EQ(take(&f), LINK_E_AGAIN);
                        CHECK(!is_readable(&f));
                }
                feed(&f, bytes + n - 1, 1, 0);
                check_packet(&f, "byte by byte", 12, 0);
                CHECK(!is_readable(&f));
        }
        close_fed(&f);
}

TEST(descriptors_that_come_with_any_byte_belong_to_its_packet)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "abc", 3);
        struct fed f;

        open_fed(&f);
        for (size_t with = 0; with < n; with++) {
                for (size_t i = 0; i < n; i++) {
                        CHECK_EQ(take(&f), LINK_E_AGAIN);
                        feed(&f, bytes + i, 1, i == with ? 3 : 0);
                }
                feed(&f, bytes, n, 1); /* the next one's stay with the next one */
                check_packet(&f, "abc", 3, 3);
                check_packet(&f, "abc", 3, 1);
        }
        /* One with each byte; what lies on the yard before the last are empty sets. */
        for (size_t i = 0; i < n; i++) {
                CHECK_EQ(take(&f), LINK_E_AGAIN);
                feed(&f, bytes + i, 1, 1);
        }
        check_packet(&f, "abc", 3, n);
        close_fed(&f);
}

TEST(descriptors_of_a_write_of_two_packets_belong_to_the_first)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "one", 3);
        struct fed f;

        open_fed(&f);
        n += wire(bytes + n, "two", 3);
        feed(&f, bytes, n, 2);
        check_packet(&f, "one", 3, 2);
        check_packet(&f, "two", 3, 0);
        close_fed(&f);
}

TEST(a_packet_may_be_cut_at_every_border)
{
        uint8_t bytes[64];
        size_t first = wire(bytes, "first", 5), n = first + wire(bytes + first, "2nd", 3);
        struct fed f;

        open_fed(&f);
        for (size_t cut = 1; cut < n; cut++) {
                feed(&f, bytes, cut, 1);
                if (cut >= first)
                        check_packet(&f, "first", 5, 1);
                CHECK_EQ(take(&f), LINK_E_AGAIN);
                feed(&f, bytes + cut, n - cut, 0);
                if (cut < first)
                        check_packet(&f, "first", 5, 1);
                check_packet(&f, "2nd", 3, 0);
                CHECK_EQ(take(&f), LINK_E_AGAIN);
        }
        close_fed(&f);
}

TEST(a_thousand_packets_in_one_write_are_a_thousand)
{
        static uint8_t bytes[1000 * (HEAD + 16)];
        uint8_t body[16];
        struct fed f;
        size_t n = 0;

        open_fed(&f);
        for (size_t i = 0; i < 1000; i++) {
                memset(body, (int)i, sizeof(body));
                n += wire(bytes + n, body, 1 + i % sizeof(body));
        }
        feed(&f, bytes, n, 0);
        for (size_t i = 0; i < 1000; i++) {
                CHECK(is_readable(&f));
                memset(body, (int)i, sizeof(body));
                check_packet(&f, body, 1 + i % sizeof(body), 0);
        }
        CHECK(!is_readable(&f));
        CHECK_EQ(take(&f), LINK_E_AGAIN);
        close_fed(&f);
}

TEST(the_longest_packet_may_come_in_pieces)
{
        static const size_t pieces[] = {1000, 30000, LINK_PACKET_BYTES};
        static uint8_t bytes[HEAD + LINK_PACKET_BYTES], body[LINK_PACKET_BYTES];
        struct fed f;

        open_fed(&f);
        fill(body, sizeof(body));
        wire(bytes, body, sizeof(body));
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
                for (size_t done = 0; done < sizeof(bytes);) {
                        size_t piece = size_min(pieces[i], sizeof(bytes) - done);
                        CHECK_EQ(take(&f), LINK_E_AGAIN);
                        feed(&f, bytes + done, piece, 0);
                        done += piece;
                }
                check_packet(&f, body, sizeof(body), 0);
        }
        close_fed(&f);
}

struct crumb {
        int fd;
        const uint8_t *byte;
};

static int send_crumb(void *context)
{
        const struct crumb *c = context;

        return send(c->fd, c->byte, 1, MSG_NOSIGNAL) == 1 ? 0 : 1;
}

/* Of several writers, for the kernel does not join what comes under different credentials. */
LINUX_TEST(a_packet_in_very_many_pieces_does_not_hold_its_receiver, "no credentials in packets")
{
        uint8_t body[200] = {0}, bytes[HEAD + sizeof(body)];
        struct fed f;
        int calls = 1;

        open_fed(&f);
        CHECK_EQ(link_ask_cred(f.link, true), 0);
        wire(bytes, body, sizeof(body));
        for (size_t i = 0; i < sizeof(bytes); i++) {
                struct crumb crumb = {f.raw, bytes + i};
                if (i % 2)
                        CHECK_EQ(reap(spawn(send_crumb, &crumb)), 0);
                else
                        feed(&f, bytes + i, 1, 0);
        }
        while (take(&f) == LINK_E_AGAIN) {
                CHECK(is_readable(&f)); /* it is called again */
                CHECK(++calls < 100);
        }
        CHECK(calls > 1);
        CHECK_EQ(f.len, sizeof(body));
        close_fed(&f);
}
