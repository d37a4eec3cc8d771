#include "client/fake_broker.h"

#include "proto/base/memfile.h"
#include "proto/link/connect.h"
#include "proto/link/listener.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Abstract names where there are any, else files in a directory that goes with the test. */
#ifdef BATON_PORTABLE
#define AT      "./"
#define NOBODY  "no such socket (is the broker running?)"
#define OWN_PID 0 /* which such a build is not told */
#else
#define AT      "@"
#define NOBODY  "connection refused (is the broker running?)"
#define OWN_PID getpid()
#endif

__attribute__((constructor)) static void go_where_files_may_be_made(void)
{
        const char *directory = getenv("TEST_TMPDIR");

        if (directory && chdir(directory) < 0)
                abort();
}

/* ---------------------------------------------------------------- the handshake */

static int greet(struct fake *f, struct message m, const char *name)
{
        struct link *link;

        memset(f, 0, sizeof(*f));
        CHECK_EQ(baton_new(&f->b), 0);
        if (name)
                CHECK_EQ(baton_set_name(f->b, name), 0);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f->link), 0);
        if (m.type) {
                fake_say(f, m);
                fake_send(f);
        }
        return handle_adopt_link(f->b, link, "@fake", m.type ? -1 : 1);
}

TEST(hello_is_alone_and_welcome_opens_the_session)
{
        struct fake f;
        struct message m;

        CHECK_EQ(greet(&f, fake_welcome(1 << 20, 15), "thermo"), 0);
        m = fake_expect(&f, WIRE_HELLO);
        CHECK(slice_is(m.hello.name, "thermo"));
        CHECK_EQ(m.hello.version, 1);
        CHECK_EQ(m.hello.features, memfile_can_seal() ? WIRE_FEATURE_MEMFD : 0);
        CHECK(!fake_next(&f, &m));
        CHECK(baton_is_connected(f.b));
        CHECK_STR(baton_address(f.b), "@fake");
        CHECK_EQ(baton_session(f.b), 7);
        CHECK_EQ(baton_rights(f.b), 15);
        CHECK_BYTES(baton_instance(f.b), "0123456789abcdef", 16);
        CHECK_EQ(baton_limit(f.b, "fds"), 16);
        CHECK_EQ(baton_limit(f.b, "nonsense"), 0);
        CHECK_EQ(baton_connect(f.b, "@other", 0), -EISCONN);
        fake_close(&f);
}

TEST(a_refusal_is_told_in_the_brokers_words)
{
        struct fake f;

        CHECK_EQ(greet(&f, fake_bye(WIRE_CODE_REFUSED, "uid 1001 may not use this bus"), NULL),
                -EACCES);
        CHECK_STR(baton_error(f.b), "@fake: uid 1001 may not use this bus");
        CHECK_EQ(baton_code(f.b), WIRE_CODE_REFUSED);
        CHECK(!baton_is_connected(f.b));
        fake_close(&f);
        CHECK_EQ(greet(&f, fake_bye(WIRE_CODE_VERSION, "only version 9"), NULL), -EPROTO);
        fake_close(&f);
        CHECK_EQ(greet(&f, fake_bye(WIRE_CODE_SHUTDOWN, ""), NULL), -ECONNREFUSED);
        CHECK_STR(baton_error(f.b), "@fake: SHUTDOWN");
        fake_close(&f);
}

TEST(a_greeting_that_is_none_is_no_broker)
{
        struct message other = {.type = WIRE_PING, .number = 1};
        struct message later = fake_welcome(1, 1);
        struct fake f;

        CHECK_EQ(greet(&f, other, NULL), -EPROTO);
        fake_close(&f);
        later.welcome.version = 2;
        CHECK_EQ(greet(&f, later, NULL), -EPROTO);
        fake_close(&f);
        CHECK_EQ(greet(&f, (struct message){0}, NULL), -ETIMEDOUT);
        CHECK_STR(baton_error(f.b), "@fake: no greeting from the broker in time");
        fake_close(&f);
}

TEST(what_follows_welcome_in_its_packet_counts)
{
        struct link *link;
        struct fake f;

        memset(&f, 0, sizeof(f));
        CHECK_EQ(baton_new(&f.b), 0);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f.link), 0);
        fake_say(&f, fake_welcome(0, 1));
        fake_say(&f, fake_credit(8));
        fake_send(&f);
        CHECK_EQ(handle_adopt_link(f.b, link, "@fake", -1), 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -EAGAIN);
        fake_close(&f);
}

TEST(names_are_short_plain_text)
{
        char name[WIRE_NAME_BYTES + 2];
        baton *b;

        memset(name, 'n', sizeof(name));
        name[WIRE_NAME_BYTES + 1] = '\0';
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_set_name(b, name), -EINVAL);
        CHECK_EQ(baton_set_name(b, name + 1), 0);
        CHECK_EQ(baton_set_name(b, "a\nb"), -EINVAL);
        CHECK_NULL(baton_free(b));
}

/* ---------------------------------------------------------------- addresses */

/* A broker that greets `n` clients with `greeting` and waits until each has gone. */
struct server {
        struct listener *listener;
        struct message greeting;
        int n;
        pthread_t thread;
};

static void await(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        assert_int_equal(poll(&p, 1, -1), 1);
}

static void *serve(void *arg)
{
        struct server *s = arg;
        struct buf out = BUF_INIT;
        uint8_t in[WIRE_PACKET_BYTES];
        struct fdset *fds;
        struct link *link;
        size_t len;
        int fd, r;

        assert_int_equal(message_encode(&out, &s->greeting), 0);
        struct iovec iov = {out.data, out.len};
        for (int i = 0; i < s->n; i++) {
                await(listener_fd(s->listener));
                assert_int_equal(listener_accept(s->listener, &fd), 0);
                assert_int_equal(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &link), 0);
                assert_int_equal(link_send(link, &iov, 1, NULL, 0), 0);
                while ((r = link_recv(link, in, sizeof(in), &len, &fds)) != LINK_E_EOF) {
                        if (r == LINK_E_AGAIN)
                                await(link_fd(link));
                }
                link_free(link);
        }
        buf_deinit(&out);
        return NULL;
}

static void server_start(struct server *s, const char *text, struct message greeting, int n)
{
        struct listener_why why;
        struct address_why bad;
        struct address a;

        CHECK_EQ(address_parse(text, ADDRESS_BROKER, &a, &bad), 0);
        CHECK_EQ(listener_open(&a, 16, &s->listener, &why), 0);
        s->greeting = greeting;
        s->n = n;
        CHECK_EQ(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
        CHECK_EQ(pthread_join(s->thread, NULL), 0);
        s->listener = listener_close(s->listener);
}

TEST(addresses_are_tried_in_turn_and_the_skipped_are_told)
{
        struct notes notes = {.len = 0};
        struct server s;
        baton *b;

        server_start(&s, AT "there", fake_welcome(1 << 20, 15), 1);
        CHECK_EQ(baton_new(&b), 0);
        baton_set_log(b, note_log, &notes);
        CHECK_EQ(baton_connect(b, AT "nobody," AT "there," AT "never", 5000), 0);
        CHECK_STR(baton_address(b), AT "there");
        CHECK_STR(notes.text, "skipped: " AT "nobody: " NOBODY ";");
        CHECK_EQ(baton_broker(b).uid, geteuid());
        CHECK_EQ(baton_broker(b).pid, OWN_PID);
        CHECK_NULL(baton_free(b));
        server_stop(&s);
}

TEST(no_broker_at_all_names_every_address)
{
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, AT "baton-0", 1000), -ECONNREFUSED);
        CHECK_STR(baton_error(b), AT "baton-0: " NOBODY);
        CHECK_EQ(baton_connect(b, AT "one," AT "two", 1000), -ECONNREFUSED);
        CHECK(strstr(baton_error(b), AT "one: " NOBODY));
        CHECK(strstr(baton_error(b), "; " AT "two: " NOBODY));
        CHECK_NULL(baton_free(b));
}

TEST(bad_addresses_are_told)
{
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, "", 0), -EINVAL);
        CHECK_EQ(baton_connect(b, "nonsense", 0), -EINVAL);
        CHECK_EQ(baton_connect(b, "@a,,@b", 0), -EINVAL);
        CHECK(strstr(baton_error(b), "address: "));
        CHECK_NULL(baton_free(b));
}

TEST(the_default_address_is_the_environments)
{
        struct server s;
        baton *b;

        server_start(&s, AT "env", fake_welcome(1 << 20, 15), 1);
        CHECK_EQ(setenv("BATON_ADDRESS", AT "env", 1), 0);
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, NULL, 5000), 0);
        CHECK_STR(baton_address(b), AT "env");
        CHECK_NULL(baton_free(b));
        server_stop(&s);
        CHECK_EQ(unsetenv("BATON_ADDRESS"), 0);
}

TEST(a_refusal_outranks_an_absent_broker)
{
        struct server s;
        baton *b;

        server_start(&s, AT "strict", fake_bye(WIRE_CODE_REFUSED, "not you"), 1);
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, AT "one," AT "strict," AT "two", 5000), -EACCES);
        CHECK(strstr(baton_error(b), "; " AT "strict: not you; "));
        CHECK_NULL(baton_free(b));
        server_stop(&s);
}

TEST(an_untrusted_broker_is_sent_nothing)
{
        struct listener_why why;
        struct address_why bad;
        struct listener *l;
        struct address a;
        struct link *link;
        uint8_t in[64];
        struct fdset *fds;
        size_t len;
        baton *b;
        int fd;

        CHECK_EQ(address_parse(AT "squatted", ADDRESS_BROKER, &a, &bad), 0);
        CHECK_EQ(listener_open(&a, 16, &l, &why), 0);
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, AT "squatted?uid=4711", 5000), -ECONNREFUSED);
        CHECK_EQ(listener_accept(l, &fd), 0);
        CHECK_EQ(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &link), 0);
        CHECK_EQ(link_recv(link, in, sizeof(in), &len, &fds), LINK_E_EOF);
        link_free(link);
        listener_close(l);
        CHECK_NULL(baton_free(b));
}

TEST(a_full_backlog_is_waited_for_until_the_deadline)
{
        struct listener_why why;
        struct address_why bad;
        struct link_why link_why;
        struct listener *l;
        struct address a, client;
        struct link *links[8];
        struct cred cred;
        size_t n = 0;
        baton *b;

        CHECK_EQ(address_parse(AT "busy", ADDRESS_BROKER, &a, &bad), 0);
        CHECK_EQ(address_parse(AT "busy", ADDRESS_CLIENT, &client, &bad), 0);
        CHECK_EQ(listener_open(&a, 1, &l, &why), 0);
        while (n < ARRAY_LEN(links) &&
                link_connect(&client, NULL, &links[n], &cred, &link_why) == 0)
                n++;
        CHECK(n > 0 && n < ARRAY_LEN(links));
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, AT "busy", 10), -ETIMEDOUT);
        CHECK_NULL(baton_free(b));
        while (n)
                link_free(links[--n]);
        listener_close(l);
}

TEST(the_handle_can_connect_again)
{
        struct server s;
        baton *b;

        server_start(&s, AT "twice", fake_welcome(1 << 20, 15), 2);
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, AT "twice", 5000), 0);
        CHECK_EQ(baton_close(b, 0), -ETIMEDOUT);
        CHECK_EQ(baton_connect(b, AT "twice", 5000), 0);
        CHECK(baton_is_connected(b));
        CHECK_NULL(baton_free(b));
        server_stop(&s);
}
