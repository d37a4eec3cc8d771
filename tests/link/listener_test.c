/* Names and paths: who has them, what they look like, what is left behind. */
#include "tests/link/listening.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TEST(an_abstract_name_has_its_exact_length)
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

TEST(the_longest_names_work)
{
        char text[128];
        struct listener_why why;

        memset(text, 'n', sizeof(text));
        text[0] = '@';
        text[108] = '\0';
        struct listener *l = open_listener(text);
        struct link *client = connect_to(text, NULL);
        link_free(client);
        listener_close(l);

        room_enter();
        memcpy(text, "./", 2);
        text[103] = '\0';
        CHECK_EQ(try_open(text, &why), 0);
        room_leave();
}

TEST(a_taken_name_says_who_has_it)
{
        struct server s;
        char phrase[64];

        start_server(&s, "@taken");
        snprintf(phrase, sizeof(phrase), "held by pid %d (uid %u)", (int)s.pid, geteuid());
        check_refused("@taken", LISTENER_E_TAKEN, phrase);
        kill_server(&s);
}

TEST(a_name_bound_by_one_who_does_not_listen_says_so)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "\0mute"};
        int fd = raw_socket(SOCK_SEQPACKET);

        CHECK_EQ(bind(fd, (struct sockaddr *)&addr, offsetof(struct sockaddr_un, sun_path) + 5), 0);
        check_refused("@mute", LISTENER_E_TAKEN, "bound by a process that does not listen");
        close(fd);
}

TEST(a_name_whose_holder_is_swamped_says_so)
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
        static const char *const texts[] = {"@killed", "./killed"};
        struct server s;

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                start_server(&s, texts[i]);
                kill_server(&s);
                check_unreachable(
                        texts[i], LINK_E_ABSENT, "connection refused (is the broker running?)");
                struct listener *l = open_listener(texts[i]);
                struct link *client = connect_to(texts[i], NULL);
                link_free(client);
                listener_close(l);
        }
        room_leave();
}

TEST(other_transports_are_not_there_yet_and_say_so)
{
        room_enter();
        check_refused("stream:./s", LINK_E_UNSUPPORTED, "not supported");
        check_refused("dgram:./s", LINK_E_UNSUPPORTED, "not supported");
        check_unreachable("stream:./s", LINK_E_UNSUPPORTED, "this transport is not supported");
        check_unreachable("dgram:./s", LINK_E_UNSUPPORTED, "this transport is not supported");
        room_leave();
}

TEST(nobody_waiting_is_not_an_error)
{
        struct listener *l = open_listener("@idle");
        int fd = -1;

        CHECK_EQ(listener_accept(l, &fd), LINK_E_AGAIN);
        CHECK_EQ(fd, -1);
        listener_close(l);
}

TEST(a_connection_that_went_away_is_still_accepted_with_what_it_sent)
{
        struct listener *l = open_listener("@brief");
        struct link *client = connect_to("@brief", NULL);

        CHECK_EQ(send_text(client, "hello", NULL), 0);
        link_free(client);
        struct link *server = accept_from(l, NULL);
        check_text(server, "hello");
        CHECK_EQ(recv_any(server), LINK_E_EOF);
        link_free(server);
        listener_close(l);
}

TEST(what_is_accepted_does_not_block_and_is_not_inherited)
{
        struct listener *l = open_listener("@flags");
        struct link *client = connect_to("@flags", NULL);
        int fd = -1;

        CHECK_EQ(listener_accept(l, &fd), 0);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(listener_fd(l), F_GETFD), FD_CLOEXEC);
        close(fd);
        link_free(client);
        listener_close(l);
}

TEST(without_descriptors_to_spare_a_connection_waits_and_is_not_lost)
{
        struct listener *l = open_listener("@emfile");
        struct link *client = connect_to("@emfile", NULL);
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
}

TEST(without_descriptors_to_spare_opening_and_connecting_fail_cleanly)
{
        struct listener_why why;
        struct link_why link_why;
        int missing = 0;

        room_enter();
        for (int spare = 0, r = -EMFILE; r; spare++) {
                limit_fds(spare);
                r = try_open("./s", &why);
                limit_fds(-1);
                CHECK(r == 0 || r == -EMFILE);
                CHECK(!is_there("s") && !is_there("s.new"));
                missing += r != 0;
        }
        CHECK(missing >= 3); /* the socket, the directory, the lock */
        struct listener *l = open_listener("./s");
        limit_fds(1);
        CHECK_EQ(try_connect("./s", &link_why), -EMFILE);
        CHECK_STR(link_why.text, "Too many open files");
        limit_fds(-1);
        listener_close(l);
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
        check_unreachable("@none", LINK_E_ABSENT, "connection refused (is the broker running?)");
        listener_close(l);
        room_leave();
}

TEST(another_type_of_socket_names_the_right_prefix)
{
        room_enter();
        int stream = raw_bind(SOCK_STREAM, "stream"), dgram = raw_bind(SOCK_DGRAM, "dgram");
        check_unreachable(
                "./stream", LINK_E_WRONG_TYPE, "another type of socket: use stream:./stream");
        check_unreachable(
                "./dgram", LINK_E_WRONG_TYPE, "another type of socket: use dgram:./dgram");
        close(stream);
        close(dgram);
        room_leave();
}

TEST(a_client_is_told_who_listens)
{
        struct address a = client_address("@who?uid=0");
        struct link_why why = {""};
        struct link *l = NULL;
        struct cred who = {.pid = -1};
        struct server s;

        a.uid = geteuid();
        start_server(&s, "@who");
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), 0);
        CHECK_EQ(who.pid, s.pid);
        CHECK_EQ(who.uid, geteuid());
        link_free(l);

        a.uid = geteuid() + 1;
        l = NULL;
        who.pid = -1;
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), LINK_E_UNTRUSTED);
        CHECK_PTR(strstr(why.text, "held by pid "));
        CHECK_PTR(strstr(why.text, ", expected uid "));
        CHECK_NULL(l);
        CHECK_EQ(who.pid, -1);
        kill_server(&s);
}
