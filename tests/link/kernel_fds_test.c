/* The behaviour of Linux that proto/link is built on, second part: what travels with a packet. One
 * fact a test, first bare, then as a link shows it. */
#include "tests/link/support.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A packet of `len` bytes with `n` descriptors. */
static void send_fds(int fd, size_t len, size_t n)
{
        static const char bytes[64];

        CHECK_EQ(raw_send_fds(fd, bytes, len, n), len);
}

/* Receives into `len` bytes and room for `n` descriptors. */
static int recv_fds(int fd, size_t len, size_t n, size_t *ret_n)
{
        char bytes[64];
        int flags = 0;

        CHECK(raw_recv_fds(fd, bytes, len, n, ret_n, &flags) >= 0);
        return flags;
}

/* F3 */
TEST(an_empty_packet_with_descriptors_leaks_none)
{
        struct graveyard yard = {0};
        int fds[2];

        raw_pair(fds);
        send_fds(fds[0], 0, 3);
        struct link *l = raw_adopt(fds[1], &yard);
        CHECK_EQ(recv_any(l), LINK_E_EOF);
        CHECK_EQ(yard_bury(&yard), 3);
        link_free(l);
        close(fds[0]);
}

/* F6 */
TEST(a_packet_cut_short_still_delivers_its_descriptors)
{
        struct graveyard yard = {0};
        struct fdset *set;
        size_t n = 0, len;
        char buf[2];
        int fds[2];

        raw_pair(fds);
        send_fds(fds[0], 5, 2);
        CHECK_EQ(recv_fds(fds[1], 2, 2, &n), MSG_TRUNC);
        CHECK_EQ(n, 2);
        send_fds(fds[0], 5, 2);
        struct link *l = raw_adopt(fds[1], &yard);
        CHECK_EQ(link_recv(l, buf, sizeof(buf), &len, &set), LINK_E_BROKEN);
        CHECK_EQ(yard_bury(&yard), 2);
        raw_send(fds[0], "ok"); /* the records behind it are whole */
        check_text(l, "ok");
        link_free(l);
        close(fds[0]);
}

/* F7 */
TEST(a_short_control_buffer_delivers_the_descriptors_that_fit)
{
        size_t n = 0;
        int fds[2];

        raw_pair(fds);
        send_fds(fds[0], 5, 4);
        CHECK_EQ(recv_fds(fds[1], 5, 2, &n), MSG_CTRUNC);
        CHECK_EQ(n, 2);
        CHECK_EQ(raw_recv_errno(fds[1]), EAGAIN); /* the others are gone with the packet */
        close(fds[0]);
        close(fds[1]);
}

/* F7: a full descriptor table does the same, with no errno. */
TEST(running_out_of_descriptors_costs_those_of_the_packet_and_leaks_nothing)
{
        struct graveyard yard = {0};
        struct fdset *set = NULL;
        size_t len;
        char buf[8];
        int fds[2];

        for (int spare = 0; spare < 4; spare++) {
                raw_pair(fds);
                send_fds(fds[0], 5, 4);
                struct link *l = raw_adopt(fds[1], &yard);
                limit_fds(spare);
                CHECK_EQ(link_recv(l, buf, sizeof(buf), &len, &set), LINK_E_CUT);
                limit_fds(-1);
                CHECK_EQ(len, 5);
                CHECK_EQ(yard_bury(&yard), spare);
                CHECK_NULL(set);
                link_free(l);
                close(fds[0]);
        }
}

/* SO_PASSRIGHTS, Linux 6.16; without it descriptors come, and link_allow_fds does nothing. */
TEST(descriptors_are_refused_until_they_are_allowed)
{
        int refused = kernel_can_refuse() ? LINK_E_REFUSED : 0;
        struct graveyard yard = {0};
        struct listener *l = open_listener("@refuse");
        struct fdset *set = pipes_new(1, NULL);
        struct link *a = connect_to("@refuse", NULL), *b;

        CHECK_EQ(send_text(a, "before accept", set), refused);
        b = accept_from(l, &yard);
        CHECK_EQ(send_text(a, "before leave", set), refused);
        CHECK_EQ(send_text(a, "bytes alone", NULL), 0);
        CHECK_EQ(send_text(b, "the other way", set), 0);
        CHECK_EQ(link_allow_fds(b, true), 0);
        CHECK_EQ(send_text(a, "allowed", set), 0);
        CHECK_EQ(link_allow_fds(b, false), 0);
        CHECK_EQ(send_text(a, "no longer", set), refused);
        while (recv_any(b) == 0)
                ;
        CHECK_EQ(yard_bury(&yard), refused ? 1 : 4); /* what was sent while allowed still came */
        fdset_unref(set);
        link_free(a);
        link_free(b);
        listener_close(l);
}

/* Its socket is closed with all that waits in it, by whoever empties the yard. */
TEST(a_link_that_may_hold_descriptors_is_buried_and_another_closed)
{
        struct graveyard yard = {0};
        struct fdset *set = pipes_new(1, NULL);

        for (int allowed = 0; allowed < 2; allowed++) {
                struct listener *l = open_listener("@bury");
                struct link *a = connect_to("@bury", NULL), *b = accept_from(l, &yard);
                bool holds = allowed || !kernel_can_refuse();
                CHECK_EQ(link_lets_fds_in(b), !kernel_can_refuse());
                if (allowed) {
                        CHECK_EQ(link_allow_fds(b, true), 0);
                        CHECK_EQ(send_text(a, "waits", set), 0);
                        CHECK_EQ(link_allow_fds(b, false), 0);
                }
                CHECK_EQ(link_lets_fds_in(b), holds);
                CHECK_EQ(send_text(b, "good-bye", NULL), 0);
                CHECK_NULL(link_bury(b));
                check_text(a, "good-bye");
                CHECK_EQ(recv_any(a), LINK_E_EOF); /* though it may not be closed yet */
                CHECK_EQ(yard_bury(&yard), holds);
                link_free(a);
                listener_close(l);
        }
        fdset_unref(set);
        CHECK_NULL(link_bury(NULL));
}

TEST(a_socketpair_names_its_maker_and_packets_their_sender)
{
        struct cred who;
        int fds[2];

        raw_pair(fds);
        struct link *l = raw_adopt(fds[1], NULL);
        CHECK_EQ(link_ask_cred(l, true), 0);
        pid_t pid = spawn(send_and_exit, &fds[0]);
        CHECK_EQ(reap(pid), 0);
        CHECK_EQ(cred_of_peer(link_fd(l), &who), 0);
        CHECK_EQ(who.pid, getpid());
        check_text(l, LAST_WORDS);
        CHECK(link_find_cred(l, &who));
        CHECK_EQ(who.pid, pid);
        link_free(l);
        close(fds[0]);
}

/* Hence: link_ask_cred before the peer can write. */
TEST(a_packet_sent_before_credentials_were_asked_for_has_no_pid)
{
        struct cred who;
        int fds[2];

        raw_pair(fds);
        raw_send(fds[0], "early");
        struct link *l = raw_adopt(fds[1], NULL);
        CHECK_EQ(link_ask_cred(l, true), 0);
        check_text(l, "early");
        CHECK(link_find_cred(l, &who));
        CHECK_EQ(who.pid, 0);
        link_free(l);
        close(fds[0]);
}
