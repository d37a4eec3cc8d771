/* Listeners that were passed on: somebody else has bound them, keeps them, and may have had clients
 * for them before. */
#include "tests/link/listening.h"

#include "proto/link/dgram.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 16 };

static int try_adopt(int fd, struct listener **ret, struct listener_why *why)
{
        why->text[0] = '\0';
        return listener_adopt(fd, BACKLOG, ret, why);
}

/* Of a duplicate: the other one is the supervisor's. */
static struct listener *adopt(int fd)
{
        struct listener_why why;
        struct listener *l = NULL;
        int r = try_adopt(dup(fd), &l, &why);

        if (r)
                fail_msg("%d %s", r, why.text);
        CHECK(listener_is_adopted(l));
        return l;
}

/* Owns `fd`, like listener_adopt. */
static void check_unfit(int fd, int outcome, const char *phrase)
{
        struct listener_why why;
        struct listener *l = NULL;

        CHECK(fd >= 0);
        CHECK_EQ(try_adopt(fd, &l, &why), outcome);
        CHECK_STR(why.text, phrase);
        CHECK_NULL(l);
        CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(connections_that_wait_are_accepted_and_the_name_is_told)
{
        static const struct {
                int type;
                const char *text;
        } rows[] = {{SOCK_SEQPACKET, "./s"}, {SOCK_STREAM, "stream:./s"}};
        char text[ADDRESS_TEXT];

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                int fd = raw_bind(rows[i].type, "./s");
                struct link *client = connect_to(rows[i].text, NULL);
                CHECK_EQ(send_text(client, "early", NULL), 0);
                struct listener *l = adopt(fd);
                CHECK_STR(address_format(listener_address(l), text), rows[i].text);
                CHECK_EQ(listener_address(l)->name_len, 3);
                CHECK(fcntl(listener_fd(l), F_GETFL) & O_NONBLOCK);
                CHECK_EQ(fcntl(listener_fd(l), F_GETFD), FD_CLOEXEC);
                struct link *server = accept_from(l, NULL);
                check_text(server, "early");
                int none;
                CHECK_EQ(listener_accept(l, &none), LINK_E_AGAIN);
                link_free(server);
                link_free(client);
                listener_close(l);
                close(fd);
                CHECK_EQ(unlink("s"), 0);
        }
        room_leave();
}

LINUX_TEST(an_abstract_name_is_adopted, "no abstract names")
{
        char text[ADDRESS_TEXT];
        int fd = raw_bind_abstract(SOCK_SEQPACKET, "adopted");
        struct listener *l = adopt(fd);

        CHECK_STR(address_format(listener_address(l), text), "@adopted");
        CHECK_EQ(listener_address(l)->name_len, 7);
        check_reachable("@adopted");
        listener_close(l);
        close(fd);
}

TEST(the_name_and_who_waits_there_stay_for_the_next)
{
        room_enter();
        int fd = raw_bind(SOCK_SEQPACKET, "s");
        struct listener *l = adopt(fd);
        CHECK(!is_there("s.lock"));
        struct link *client = connect_to("./s", NULL);
        CHECK_EQ(send_text(client, "patient", NULL), 0);
        CHECK_NULL(listener_close(l));
        CHECK(is_there("s"));

        l = adopt(fd);
        struct link *server = accept_from(l, NULL);
        check_text(server, "patient");
        link_free(server);
        link_free(client);
        listener_close(l);
        close(fd);
        room_leave();
}

TEST(an_own_listener_is_not_an_adopted_one)
{
        room_enter();
        struct listener *l = open_listener("./own");
        CHECK(!listener_is_adopted(l));
        listener_close(l);
        room_leave();
}

static int adopt_and_stay(void *context)
{
        struct server *s = context;
        struct listener_why why;
        struct listener *l;
        int fd = (int)(intptr_t)s->text;

        if (listener_adopt(fd, BACKLOG, &l, &why) || write(s->ready[1], "", 1) != 1)
                return 1;
        pause();
        return 0;
}

TEST(clients_are_told_who_adopted_it)
{
        struct address a;
        struct link_why why = {""};
        struct cred who = {.pid = -1};
        struct link *l = NULL;
        struct server s = {0};
        char byte;

        room_enter();
        int fd = raw_bind(SOCK_SEQPACKET, "s");
        s.text = (const char *)(intptr_t)fd;
        CHECK_EQ(pipe(s.ready), 0);
        s.pid = spawn(adopt_and_stay, &s);
        CHECK_EQ(read(s.ready[0], &byte, 1), 1);
        a = client_address("./s");
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), 0);
        CHECK_EQ(who.pid, told_pid(s.pid));
        link_free(l);
        kill_server(&s);
        close(s.ready[0]);
        close(s.ready[1]);
        close(fd);
        room_leave();
}

/* A connection has what its listener said of descriptors when it was made (SO_PASSRIGHTS). */
LINUX_TEST(descriptors_are_refused_but_of_those_who_were_there_before, "none are refused")
{
        int refused = kernel_can_refuse() ? LINK_E_REFUSED : 0;
        struct fdset *set = pipes_new(1, NULL);
        struct graveyard yard = {0};

        room_enter();
        int fd = raw_bind(SOCK_SEQPACKET, "s");
        struct link *early = connect_to("./s", NULL);
        struct listener *l = adopt(fd);
        struct link *late = connect_to("./s", NULL);
        CHECK_EQ(send_text(early, "early", set), 0);
        CHECK_EQ(send_text(late, "late", set), refused);

        struct link *server = accept_from(l, &yard);
        CHECK(link_lets_fds_in(server));
        CHECK_EQ(link_allow_fds(server, false), 0);
        CHECK(link_lets_fds_in(server)); /* some wait, and go to the yard with it */
        CHECK_EQ(send_text(early, "again", set), refused);
        CHECK_NULL(link_bury(server));
        CHECK_EQ(yard_bury(&yard), 1);
        link_free(early);
        link_free(late);
        listener_close(l);
        close(fd);
        fdset_unref(set);
        room_leave();
}

LINUX_TEST(datagrams_that_came_before_have_no_sender_and_are_refused, "no datagrams")
{
        struct address a;
        struct link_why why = {""};
        struct graveyard yard = {0};
        struct dgram *d = NULL;
        struct cred who = {.pid = -1};
        uint8_t buf[16];
        size_t len = 0;

        room_enter();
        int fd = raw_bind(SOCK_DGRAM, "s");
        a = client_address("dgram:./s");
        CHECK_EQ(dgram_connect(&a, &d, &why), 0);
        CHECK_EQ(dgram_send(d, "early", 5), 0);
        struct listener *l = adopt(fd);
        CHECK_EQ(listener_address(l)->transport, TRANSPORT_DGRAM);
        CHECK_EQ(dgram_send(d, "late", 4), 0);
        CHECK_EQ(dgram_recv(l, &yard, buf, sizeof(buf), &len, &who), LINK_E_BROKEN);
        CHECK_EQ(who.pid, -1);
        CHECK_EQ(dgram_recv(l, &yard, buf, sizeof(buf), &len, &who), 0);
        CHECK_EQ(len, 4);
        CHECK_EQ(who.pid, getpid());
        CHECK_EQ(dgram_recv(l, &yard, buf, sizeof(buf), &len, &who), LINK_E_AGAIN);
        CHECK_NULL(listener_close(l));

        CHECK_EQ(dgram_send(d, "between", 7), 0); /* the socket still asks */
        l = adopt(fd);
        CHECK_EQ(dgram_recv(l, &yard, buf, sizeof(buf), &len, &who), 0);
        CHECK_EQ(len, 7);
        listener_close(l);
        dgram_free(d);
        close(fd);
        room_leave();
}

static int raw_bound(int type, const struct sockaddr_un *addr, socklen_t len)
{
        int fd = raw_socket(type);

        CHECK_EQ(bind(fd, (const struct sockaddr *)addr, len), 0);
        return fd;
}

TEST(what_cannot_be_served_is_refused_and_closed)
{
        static const char alien[] = "not a socket of AF_UNIX";
        static const char deaf[] = "a socket that does not listen";
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "bound"};
        int fds[2], inet = socket(AF_INET, SOCK_STREAM, 0);

        room_enter();
        CHECK_EQ(listen(inet, 1), 0);
        check_unfit(inet, LISTENER_E_UNFIT, alien);
        check_unfit(open("/dev/null", O_RDONLY), LISTENER_E_UNFIT, alien);
        check_unfit(raw_socket(SOCK_SEQPACKET), LISTENER_E_UNFIT, deaf);
        check_unfit(raw_socket(SOCK_STREAM), LISTENER_E_UNFIT, deaf);
        check_unfit(raw_socket(SOCK_DGRAM), LISTENER_E_UNFIT, "a socket that is bound to no name");
        check_unfit(raw_bound(SOCK_SEQPACKET, &addr, sizeof(addr)), LISTENER_E_UNFIT, deaf);
        raw_pair(fds);
        check_unfit(fds[0], LISTENER_E_UNFIT, deaf);
        close(fds[1]);
        room_leave();
}

TEST(a_descriptor_that_is_not_open_is_an_error)
{
        struct listener_why why;
        struct listener *l = NULL;

        CHECK_EQ(try_adopt(999, &l, &why), -EBADF);
        CHECK_STR(why.text, "Bad file descriptor");
        CHECK_NULL(l);
}

/* Linux binds a path of all 108 bytes, without a NUL. */
LINUX_TEST(the_longest_path_that_has_a_nul_is_adopted, "elsewhere it cannot be bound")
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        room_enter();
        memset(addr.sun_path, 'p', sizeof(addr.sun_path));
        check_unfit(raw_bound(SOCK_DGRAM, &addr, sizeof(addr)), LISTENER_E_UNFIT,
                "a socket whose path is longer than 107 bytes");
        addr.sun_path[107] = '\0';
        int fd = raw_bound(SOCK_DGRAM, &addr, sizeof(addr));
        struct listener *l = adopt(fd);
        CHECK_EQ(listener_address(l)->name_len, 107);
        CHECK_EQ(strlen(listener_address(l)->name), 107);
        listener_close(l);
        close(fd);
        room_leave();
}

LINUX_TEST(abstract_names_are_for_packets_only, "no abstract names")
{
        static const char phrase[] = "stream: and dgram: need a path";

        check_unfit(raw_bind_abstract(SOCK_STREAM, "st"), LINK_E_UNSUPPORTED, phrase);
        check_unfit(raw_bind_abstract(SOCK_DGRAM, "dg"), LINK_E_UNSUPPORTED, phrase);
}
