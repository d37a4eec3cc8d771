/* What a stream's receiver makes of bytes that are wrong, of an end in the middle, of descriptors
 * that are too many, of writers that are not one. */
#include "tests/link/fed.h"

#include <sys/socket.h>
#include <unistd.h>

TEST(a_head_that_is_none_breaks_the_link_for_good)
{
        static const struct {
                const char *bytes;
                size_t len;
        } rows[] = {
                {"\xcf", 1},                      /* known by its first byte */
                {"\0\0\0\0\1x", 6},               /* without one */
                {"\xce\0\0\0\0", 5},              /* empty */
                {"\xce\0\1\0\1", 5},              /* 65,537 bytes */
                {"\xce\xff\xff\xff\xff", 5},      /* four gigabytes */
                {"\xce\0\0\0\1x\x92\x05\x63", 9}, /* a packet, then one without a head */
        };
        uint8_t good[64];
        size_t n_good = wire(good, "good", 4);

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fed f;
                open_fed(&f);
                feed(&f, rows[i].bytes, rows[i].len, 2);
                int r = take(&f);
                if (rows[i].len == 9) {
                        CHECK_EQ(r, 0);
                        CHECK_EQ(f.n_fds, 2);
                        r = take(&f);
                } else {
                        CHECK_EQ(f.n_buried, 2);
                }
                CHECK_EQ(r, LINK_E_BROKEN);
                feed(&f, good, n_good, 1);
                CHECK_EQ(take(&f), LINK_E_BROKEN);
                leave(&f);
                CHECK_EQ(take(&f), LINK_E_BROKEN);
                close_fed(&f);
        }
}

TEST(the_end_within_a_packet_discards_it)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "a packet", 8), cut = wire(bytes + n, "another", 7);

        for (size_t had = 0; had < 2; had++) {
                for (size_t i = 1; i < cut; i++) {
                        struct fed f;
                        open_fed(&f);
                        feed(&f, bytes, n, 0);
                        feed(&f, bytes + n, i, 2);
                        if (!had)
                                leave(&f);
                        check_packet(&f, "a packet", 8, 0);
                        if (had) { /* the piece has been received when the end comes */
                                CHECK_EQ(take(&f), LINK_E_AGAIN);
                                leave(&f);
                        }
                        CHECK_EQ(take(&f), LINK_E_EOF);
                        CHECK_EQ(f.n_buried, 2);
                        CHECK_EQ(take(&f), LINK_E_EOF);
                        close_fed(&f);
                }
        }
}

TEST(all_that_a_gone_peer_sent_comes_before_the_end)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "BYE", 3);
        struct fed f;

        open_fed(&f);
        CHECK_EQ(send_text(f.link, "unread", NULL), 0);
        for (size_t i = 0; i < 3; i++)
                feed(&f, bytes, n, 1);
        feed(&f, bytes, n - 1, 0);
        leave(&f); /* with a reset behind what it sent */
        CHECK_EQ(send_text(f.link, "x", NULL), LINK_E_GONE);
        for (size_t i = 0; i < 3; i++)
                check_packet(&f, "BYE", 3, 1);
        CHECK_EQ(take(&f), LINK_E_EOF);
        CHECK_EQ(take(&f), LINK_E_EOF);
        close_fed(&f);
}

/* Who never ends its packet keeps what came with it open here. */
TEST(a_packet_has_no_more_descriptors_than_a_packet_may_have)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "abc", 3);

        for (size_t first = 1; first <= LINK_STREAM_FDS + 1; first++) {
                size_t rest = LINK_STREAM_FDS - first;
                struct fed f;
                open_fed(&f);
                if (first <= LINK_STREAM_FDS) {
                        feed(&f, bytes, 1, first);
                        feed(&f, bytes + 1, n - 1, rest);
                        check_packet(&f, "abc", 3, LINK_STREAM_FDS);
                        feed(&f, bytes, 1, first);
                        CHECK_EQ(take(&f), LINK_E_AGAIN);
                        feed(&f, bytes + 1, n - 1, rest + 1);
                } else {
                        feed(&f, bytes, 1, first); /* all at once, and no more of it */
                }
                CHECK_EQ(take(&f), LINK_E_BROKEN);
                CHECK_EQ(f.n_buried, LINK_STREAM_FDS + 1);
                CHECK_EQ(take(&f), LINK_E_BROKEN);
                close_fed(&f);
        }
}

TEST(descriptors_by_the_hundred_in_crumbs_of_a_packet_are_not_gathered)
{
        struct fed f;

        open_fed(&f);
        feed(&f, "\xce", 1, FDSET_MAX);
        CHECK_EQ(take(&f), LINK_E_BROKEN);
        CHECK_EQ(f.n_buried, FDSET_MAX);
        for (size_t i = 0; i < 4; i++)
                feed(&f, "\0", 1, FDSET_MAX);
        CHECK_EQ(take(&f), LINK_E_BROKEN); /* nor received */
        CHECK_EQ(f.n_buried, 0);
        close_fed(&f);
}

TEST(running_out_of_descriptors_costs_those_of_the_packet_and_leaks_nothing)
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "abc", 3);

        for (int spare = 0; spare < 4; spare++) {
                struct fed f;
                open_fed(&f);
                feed(&f, bytes, n, 4);
                limit_fds(spare);
                struct fdset *set = NULL;
                int r = link_recv(f.link, f.buf, sizeof(f.buf), &f.len, &set);
                limit_fds(-1);
                CHECK_EQ(r, LINK_E_CUT);
                CHECK_EQ(f.len, 3);
                CHECK_NULL(set);
                CHECK_EQ(yard_bury(&f.yard), spare);
                feed(&f, bytes, n, 2); /* the next is whole */
                check_packet(&f, "abc", 3, 2);
                close_fed(&f);
        }
}

TEST(the_descriptors_of_a_packet_that_is_not_whole_are_not_leaked)
{
        struct fed f;

        open_fed(&f);
        feed(&f, "\xce\0", 2, 3);
        CHECK_EQ(take(&f), LINK_E_AGAIN);
        f.link = link_free(f.link);
        CHECK_EQ(yard_bury(&f.yard), 3);
        close_fed(&f);
}

struct piece {
        int fd;
        const uint8_t *bytes;
        size_t len;
};

static int send_piece(void *context)
{
        const struct piece *p = context;

        return send(p->fd, p->bytes, p->len, MSG_NOSIGNAL) == (ssize_t)p->len ? 0 : 1;
}

LINUX_TEST(a_packet_has_credentials_if_one_process_sent_all_of_it, "no credentials in packets")
{
        uint8_t bytes[64];
        size_t n = wire(bytes, "whose", 5);
        struct cred who;
        struct fed f;

        open_fed(&f);
        CHECK_EQ(link_ask_cred(f.link, true), 0);
        for (size_t cut = 1; cut < n; cut++) {
                struct piece rest = {f.raw, bytes + cut, n - cut};
                feed(&f, bytes, cut, 0);
                CHECK_EQ(take(&f), LINK_E_AGAIN);
                feed(&f, bytes + cut, n - cut, 0);
                check_packet(&f, "whose", 5, 0);
                CHECK(link_find_cred(f.link, &who));
                CHECK_EQ(who.pid, getpid());
                feed(&f, bytes, cut, 0);
                CHECK_EQ(reap(spawn(send_piece, &rest)), 0);
                check_packet(&f, "whose", 5, 0);
                CHECK(!link_find_cred(f.link, &who));
        }
        /* Asked for half way, they are those of half a packet. */
        CHECK_EQ(link_ask_cred(f.link, false), 0);
        feed(&f, bytes, 3, 0);
        CHECK_EQ(take(&f), LINK_E_AGAIN);
        CHECK_EQ(link_ask_cred(f.link, true), 0);
        feed(&f, bytes + 3, n - 3, 0);
        check_packet(&f, "whose", 5, 0);
        CHECK(!link_find_cred(f.link, &who));
        close_fed(&f);
}
