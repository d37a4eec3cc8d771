/* Names and paths: who has them, what they look like, what is left behind. */
#include "tests/link/listening.h"

#include "proto/link/dgram.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

LINUX_TEST(an_abstract_name_has_its_exact_length, "no abstract names")
{
        struct listener *l = open_listener("@exact");
        struct sockaddr_un addr;
        socklen_t len = sizeof(addr);

        CHECK_EQ(getsockname(listener_fd(l), (struct sockaddr *)&addr, &len), 0);
        CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 1 + 5);
        CHECK_BYTES(addr.sun_path, "\0exact", 6);
        CHECK_STR(listener_address(l)->name, "exact");
        listener_close(l);
}

LINUX_TEST(the_longest_name_works, "no abstract names")
{
        char text[128];

        memset(text, 'n', sizeof(text));
        text[0] = '@';
        text[108] = '\0';
        struct listener *l = open_listener(text);
        struct link *client = connect_to(text, NULL);
        link_free(client);
        listener_close(l);
}

TEST(the_longest_path_works)
{
        char text[128];
        struct listener_why why;

        room_enter();
        memset(text, 'n', sizeof(text));
        memcpy(text, "./", 2);
        text[103] = '\0';
        CHECK_EQ(try_open(text, &why), 0);
        room_leave();
}

LINUX_TEST(a_taken_name_says_who_has_it, "no abstract names")
{
        struct server s;
        char phrase[64];

        start_server(&s, "@taken");
        snprintf(phrase, sizeof(phrase), "held by pid %d (uid %u)", (int)s.pid, geteuid());
        check_refused("@taken", LISTENER_E_TAKEN, phrase);
        kill_server(&s);
}

LINUX_TEST(a_name_bound_by_one_who_does_not_listen_says_so, "no abstract names")
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "\0mute"};
        int fd = raw_socket(SOCK_SEQPACKET);

        CHECK_EQ(bind(fd, (struct sockaddr *)&addr, offsetof(struct sockaddr_un, sun_path) + 5), 0);
        check_refused("@mute", LISTENER_E_TAKEN, "bound by a process that does not listen");
        close(fd);
}

LINUX_TEST(a_name_whose_holder_is_swamped_says_so, "no abstract names")
{
        struct address a = broker_address("@swamped");
        struct listener_why why;
        struct listener *l;

        CHECK_EQ(listener_open(&a, 0, &l, &why), 0);
        struct link *client = connect_to("@swamped", NULL);
        check_refused("@swamped", LISTENER_E_TAKEN, "whose backlog is full");
        link_free(client);
        listener_close(l);
}

TEST(a_name_is_free_at_once_when_its_holder_was_killed)
{
        static const char *const texts[] = {
                "@killed", "./killed", "stream:./stream", "dgram:./dgram"};
        struct server s;

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                if (!can_serve(texts[i]))
                        continue;
                start_server(&s, texts[i]);
                kill_server(&s);
                check_unreachable(
                        texts[i], LINK_E_ABSENT, "connection refused (is the broker running?)");
                struct listener *l = open_listener(texts[i]);
                check_reachable(texts[i]);
                listener_close(l);
        }
        room_leave();
}

TEST(each_transport_has_its_own_way_in)
{
        struct address stream = client_address("stream:./s"), dgram = client_address("dgram:./s");
        struct address_why address_why;
        struct listener_why listener_why;
        struct link_why why = {""};
        struct listener *listener = NULL;
        struct dgram *d = NULL;
        struct link *l = NULL;
        struct cred who;

        CHECK_EQ(link_connect(&dgram, NULL, &l, &who, &why), LINK_E_UNSUPPORTED);
        CHECK_STR(why.text, "dgram: is for publishing only");
        CHECK_EQ(dgram_connect(&stream, &d, &why), LINK_E_UNSUPPORTED);
        CHECK_STR(why.text, "not a dgram: address");
        CHECK_EQ(address_parse("stream:@s", ADDRESS_BROKER, &stream, &address_why), ADDRESS_E_BAD);
        stream =
                (struct address){TRANSPORT_STREAM, .is_abstract = true, .name = "s", .name_len = 1};
        CHECK_EQ(listener_open(&stream, 1, &listener, &listener_why), LINK_E_UNSUPPORTED);
        CHECK_STR(listener_why.text, "stream: and dgram: need a path");
        CHECK(!l && !d && !listener);
}

static void check_lack(const char *text, const char *phrase)
{
        struct listener_why listener_why = {""};
        struct link_why why = {""};

        if (can_serve(text))
                return;
        CHECK_EQ(try_open(text, &listener_why), LINK_E_UNSUPPORTED);
        CHECK_STR(listener_why.text, phrase);
        CHECK_EQ(try_connect(text, &why), LINK_E_UNSUPPORTED);
        CHECK_STR(why.text, phrase);
}

TEST(what_a_build_lacks_it_says)
{
        check_lack("@name", "abstract names exist on Linux only: use a path");
        check_lack("dgram:./s", "this build cannot tell who sends a datagram: use stream:");
}

TEST(nobody_waiting_is_not_an_error)
{
        room_enter();
        struct listener *l = open_listener("./idle");
        int fd = -1;

        CHECK_EQ(listener_accept(l, &fd), LINK_E_AGAIN);
        CHECK_EQ(fd, -1);
        listener_close(l);
        room_leave();
}

TEST(a_connection_that_went_away_is_still_accepted_with_what_it_sent)
{
        room_enter();
        struct listener *l = open_listener("./brief");
        struct link *client = connect_to("./brief", NULL);

        CHECK_EQ(send_text(client, "hello", NULL), 0);
        link_free(client);
        struct link *server = accept_from(l, NULL);
        check_text(server, "hello");
        CHECK_EQ(recv_any(server), LINK_E_EOF);
        link_free(server);
        listener_close(l);
        room_leave();
}

TEST(what_is_accepted_does_not_block_and_is_not_inherited)
{
        room_enter();
        struct listener *l = open_listener("./flags");
        struct link *client = connect_to("./flags", NULL);
        int fd = -1;

        CHECK_EQ(listener_accept(l, &fd), 0);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(listener_fd(l), F_GETFD), FD_CLOEXEC);
        close(fd);
        link_free(client);
        listener_close(l);
        room_leave();
}

TEST(without_descriptors_to_spare_a_connection_waits_and_is_not_lost)
{
        room_enter();
        struct listener *l = open_listener("./emfile");
        struct link *client = connect_to("./emfile", NULL);
        struct pollfd p = {.fd = listener_fd(l), .events = POLLIN};
        int fd = -1;

        CHECK_EQ(send_text(client, "patient", NULL), 0);
        limit_fds(0);
        CHECK_EQ(listener_accept(l, &fd), LINK_E_EXHAUSTED);
        CHECK_EQ(listener_accept(l, &fd), LINK_E_EXHAUSTED);
        CHECK_EQ(poll(&p, 1, 0), 1);
        limit_fds(-1);
        struct link *server = accept_from(l, NULL);
        check_text(server, "patient");
        link_free(server);
        link_free(client);
        listener_close(l);
        room_leave();
}

static void check_few_descriptors(const char *text)
{
        struct listener_why why;
        struct link_why link_why;
        int missing = 0;

        for (int spare = 0, r = -EMFILE; r; spare++) {
                limit_fds(spare);
                r = try_open(text, &why);
                limit_fds(-1);
                CHECK(r == 0 || r == -EMFILE);
                CHECK(!is_there("s") && !is_there("s.new"));
                missing += r != 0;
        }
        CHECK(missing >= 3); /* the socket, the directory, the lock */
        struct listener *l = open_listener(text);
        for (int spare = 0, r = -EMFILE; r; spare++) {
                limit_fds(spare);
                r = try_connect(text, &link_why);
                limit_fds(-1);
                CHECK(r == -EMFILE || (r == 0 && spare > 0));
                if (r)
                        CHECK_STR(link_why.text, "Too many open files");
        }
        listener_close(l);
}

TEST(without_descriptors_to_spare_opening_and_connecting_fail_cleanly)
{
        room_enter();
        check_few_descriptors("./s");
        check_few_descriptors("stream:./s");
        if (can_serve("dgram:./s"))
                check_few_descriptors("dgram:./s");
        room_leave();
}

TEST(a_path_that_leads_nowhere_says_how)
{
        room_enter();
        make_file("file");
        CHECK_EQ(symlink("s", "link"), 0);
        struct listener *l = open_listener("./s");
        check_unreachable("./none", LINK_E_ABSENT, "no such socket (is the broker running?)");
        check_unreachable("./file/s", LINK_E_ABSENT, "no such socket (is the broker running?)");
        check_unreachable("./file", LINK_E_ABSENT, "not a socket");
        check_unreachable("./link", LINK_E_UNTRUSTED, "a symbolic link, not a socket");
        check_unreachable("stream:./link", LINK_E_UNTRUSTED, "a symbolic link, not a socket");
        listener_close(l);
        room_leave();
}

LINUX_TEST(a_name_or_a_datagrams_path_that_leads_nowhere_says_how, "neither of them")
{
        room_enter();
        make_file("file");
        CHECK_EQ(symlink("s", "link"), 0);
        struct listener *l = open_listener("./s");
        check_unreachable("dgram:./link", LINK_E_UNTRUSTED, "a symbolic link, not a socket");
        check_unreachable("dgram:./file", LINK_E_ABSENT, "not a socket");
        check_unreachable("dgram:./none", LINK_E_ABSENT, "no such socket (is the broker running?)");
        check_unreachable("@none", LINK_E_ABSENT, "connection refused (is the broker running?)");
        listener_close(l);
        room_leave();
}

TEST(another_type_of_socket_names_the_right_prefix)
{
        static const struct {
                const char *prefix;
                int type;
        } rows[] = {
                {"seqpacket:", SOCK_SEQPACKET}, {"stream:", SOCK_STREAM}, {"dgram:", SOCK_DGRAM}};
        char text[64], phrase[64];

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(rows); i++) {
                size_t served = i / ARRAY_LEN(rows), asked = i % ARRAY_LEN(rows);
                if (!can_serve(rows[asked].prefix))
                        continue;
                int fd = raw_bind(rows[served].type, "s");
                snprintf(text, sizeof(text), "%s./s", rows[asked].prefix);
                snprintf(phrase, sizeof(phrase), "another type of socket: use %s./s",
                        rows[served].prefix);
                if (served == asked)
                        check_reachable(text);
                else
                        check_unreachable(text, LINK_E_WRONG_TYPE, phrase);
                close(fd);
                CHECK_EQ(unlink("s"), 0);
        }
        room_leave();
}

TEST(a_client_is_told_who_listens)
{
        struct address a;
        struct link_why why = {""};
        struct link *l = NULL;
        struct cred who = {.pid = -1};
        struct server s;

        room_enter();
        a = client_address("./who?uid=0");
        a.uid = geteuid();
        start_server(&s, "./who");
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), 0);
        CHECK_EQ(who.pid, told_pid(s.pid));
        CHECK_EQ(who.uid, geteuid());
        link_free(l);

        a.uid = geteuid() + 1;
        l = NULL;
        who.pid = -1;
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), LINK_E_UNTRUSTED);
        CHECK_PTR(strstr(why.text, "held by "));
        CHECK_PTR(strstr(why.text, ", expected uid "));
        CHECK_NULL(l);
        CHECK_EQ(who.pid, -1);
        kill_server(&s);
        room_leave();
}
