/* What holds between users over stream: and dgram:. */
#include "proto/link/dgram.h"

#include "tests/link/others.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A child of another user that connects to `text`, sends a word, and ends with the outcome. */
struct client {
        const char *text;
        uid_t uid;
        gid_t gid;
};

static int run_link(const struct address *a)
{
        struct iovec iov = {.iov_base = (char *)"word", .iov_len = 4};
        struct link_why why;
        struct link *l = NULL;
        struct cred who;
        int r = link_connect(a, NULL, &l, &who, &why);

        return r ? r : link_send(l, &iov, 1, NULL, 0);
}

static int run_dgram(const struct address *a)
{
        struct link_why why;
        struct dgram *d = NULL;
        int r = dgram_connect(a, &d, &why);

        return r ? r : dgram_send(d, "word", 4);
}

static int run_client(void *context)
{
        const struct client *c = context;
        struct address a;
        struct address_why why;

        if (become(c->uid, c->gid) || address_parse(c->text, ADDRESS_CLIENT, &a, &why))
                return CHILD_BROKEN;
        int r = a.transport == TRANSPORT_DGRAM ? run_dgram(&a) : run_link(&a);
        return r < 0 ? CHILD_BROKEN : r;
}

static pid_t start_client(uid_t uid, gid_t gid, const char *text)
{
        struct client c = {.text = text, .uid = uid, .gid = gid};

        return spawn(run_client, &c);
}

static int say_as(uid_t uid, gid_t gid, const char *text)
{
        return reap(start_client(uid, gid, text));
}

TEST(the_mode_of_a_path_holds_for_each_transport)
{
        static const char *const texts[] = {"stream:./s", "dgram:./s"};
        char text[64];

        NEED_ROOT();
        dir_enter(0755);
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                if (!can_serve(texts[i]))
                        continue;
                struct listener *l = open_listener(texts[i]);
                CHECK_EQ(say_as(NOBODY, NOBODY, texts[i]), LINK_E_DENIED);
                CHECK_EQ(say_as(0, 0, texts[i]), 0);
                listener_close(l);
                snprintf(text, sizeof(text), "%s?mode=0620&group=65533", texts[i]);
                l = open_listener(text);
                CHECK_EQ(say_as(NOBODY, NOBODY, texts[i]), LINK_E_DENIED);
                CHECK_EQ(say_as(NOBODY, SOMEBODY, texts[i]), 0);
                listener_close(l);
                snprintf(text, sizeof(text), "%s?mode=0666", texts[i]);
                l = open_listener(text);
                CHECK_EQ(say_as(NOBODY, NOBODY, texts[i]), 0);
                listener_close(l);
        }
        dir_leave();
}

static int take(struct listener *l, struct cred *ret_who)
{
        static uint8_t buf[LINK_PACKET_BYTES];
        size_t len;

        return dgram_recv(l, NULL, buf, sizeof(buf), &len, ret_who);
}

LINUX_TEST(a_datagram_has_the_uid_of_its_sender, "no datagrams")
{
        struct cred who;

        NEED_ROOT();
        dir_enter(0755);
        struct listener *l = open_listener("dgram:./s?mode=0666");
        pid_t pid = start_client(NOBODY, SOMEBODY, "dgram:./s");
        CHECK_EQ(reap(pid), 0);
        CHECK_EQ(take(l, &who), 0);
        CHECK_EQ(who.pid, pid);
        CHECK_EQ(who.uid, NOBODY);
        CHECK_EQ(who.gid, SOMEBODY);
        CHECK_EQ(take(l, &who), LINK_E_AGAIN);
        listener_close(l);
        dir_leave();
}

static int connected(void)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -1 : fd;
}

/* Tells a lie, which is refused, then says the same without it. */
static int lie(void *context)
{
        union {
                struct cmsghdr align;
                char room[CMSG_SPACE(sizeof(struct ucred))];
        } control = {.room = ""};
        struct ucred root = {.pid = getpid(), .uid = 0, .gid = 0};
        struct iovec iov = {.iov_base = (char *)"x", .iov_len = 1};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        (void)context;
        msg.msg_control = control.room;
        msg.msg_controllen = sizeof(control.room);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_CREDENTIALS;
        control.align.cmsg_len = CMSG_LEN(sizeof(root));
        memcpy(CMSG_DATA(&control.align), &root, sizeof(root));
        int fd = become(NOBODY, NOBODY) ? -1 : connected();
        if (fd < 0)
                return CHILD_BROKEN;
        if (sendmsg(fd, &msg, 0) != -1 || errno != EPERM)
                return 1;
        return send(fd, "x", 1, 0) == 1 ? 0 : 2;
}

LINUX_TEST(nobody_can_say_that_he_is_root, "no datagrams")
{
        struct cred who;

        NEED_ROOT();
        dir_enter(0755);
        struct listener *l = open_listener("dgram:./s?mode=0666");
        CHECK_EQ(reap(spawn(lie, NULL)), 0);
        CHECK_EQ(take(l, &who), 0);
        CHECK_EQ(who.uid, NOBODY);
        CHECK_EQ(take(l, &who), LINK_E_AGAIN);
        listener_close(l);
        dir_leave();
}

/* One socket, two users. */
static int change_between(void *context)
{
        int fd = connected();

        (void)context;
        if (fd < 0 || setresuid(SOMEBODY, SOMEBODY, 0) || send(fd, "x", 1, 0) != 1 ||
                setresuid(0, 0, 0) || setresuid(NOBODY, NOBODY, NOBODY))
                return CHILD_BROKEN;
        return send(fd, "y", 1, 0) == 1 ? 0 : CHILD_BROKEN;
}

LINUX_TEST(each_datagram_has_the_uid_that_its_sender_had_then, "no datagrams")
{
        struct cred who;

        NEED_ROOT();
        dir_enter(0755);
        struct listener *l = open_listener("dgram:./s?mode=0666");
        CHECK_EQ(reap(spawn(change_between, NULL)), 0);
        CHECK_EQ(take(l, &who), 0);
        CHECK_EQ(who.uid, SOMEBODY);
        CHECK_EQ(take(l, &who), 0);
        CHECK_EQ(who.uid, NOBODY);
        listener_close(l);
        dir_leave();
}

/* A child of another user that serves the path "s". It ends with 0 when it is told to and nobody
 * has sent it a byte. */
struct squatter {
        int type, orders[2];
        pid_t pid;
};

static int squat(void *context)
{
        struct squatter *s = context;
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
        char buf[64];
        int fd = socket(AF_UNIX, s->type, 0), client = fd;

        if (become(NOBODY, NOBODY) || fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
                chmod("s", 0666) || (s->type == SOCK_STREAM && listen(fd, 4)) ||
                write(s->orders[1], "r", 1) != 1 || read(s->orders[1], buf, 1) != 1)
                return CHILD_BROKEN;
        if (s->type == SOCK_STREAM)
                client = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
        return recv(client, buf, sizeof(buf), MSG_DONTWAIT) > 0;
}

static void start_squatter(struct squatter *s, int type)
{
        char byte;

        s->type = type;
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->orders), 0);
        s->pid = spawn(squat, s);
        CHECK_EQ(read(s->orders[0], &byte, 1), 1);
}

static void check_unheard(struct squatter *s)
{
        CHECK_EQ(write(s->orders[0], "e", 1), 1);
        CHECK_EQ(reap(s->pid), 0);
        close(s->orders[0]);
        close(s->orders[1]);
        CHECK_EQ(unlink("s"), 0);
}

LINUX_TEST(a_datagram_file_of_another_user_is_not_trusted, "no datagrams")
{
        struct address a;
        struct squatter s;
        struct link_why why;
        struct dgram *d = NULL;

        NEED_ROOT();
        dir_enter(01777);
        a = client_address("dgram:./s");
        start_squatter(&s, SOCK_DGRAM);
        CHECK_EQ(dgram_connect(&a, &d, &why), LINK_E_UNTRUSTED);
        CHECK_STR(why.text, "its file belongs to uid 65534, expected root");
        CHECK_EQ(say_as(SOMEBODY, SOMEBODY, "dgram:./s"), LINK_E_UNTRUSTED);
        CHECK_EQ(say_as(SOMEBODY, SOMEBODY, "dgram:./s?uid=0"), LINK_E_UNTRUSTED);
        check_unheard(&s);
        start_squatter(&s, SOCK_DGRAM);
        a = client_address("dgram:./s?uid=65534"); /* unless it is the one expected */
        CHECK_EQ(dgram_connect(&a, &d, &why), 0);
        dgram_free(d);
        check_unheard(&s);
        dir_leave();
}

LINUX_TEST(a_user_trusts_its_own_datagram_file_and_everybody_roots, "no datagrams")
{
        struct squatter s;

        NEED_ROOT();
        dir_enter(01777);
        struct listener *l = open_listener("dgram:./s?mode=0666");
        CHECK_EQ(say_as(NOBODY, NOBODY, "dgram:./s"), 0);
        CHECK_EQ(say_as(NOBODY, NOBODY, "dgram:./s?uid=65534"), LINK_E_UNTRUSTED);
        listener_close(l);
        start_squatter(&s, SOCK_DGRAM);
        CHECK_EQ(say_as(NOBODY, NOBODY, "dgram:./s"), 0);
        CHECK_EQ(write(s.orders[0], "e", 1), 1);
        CHECK_EQ(reap(s.pid), 1); /* it has heard that */
        close(s.orders[0]);
        close(s.orders[1]);
        dir_leave();
}

TEST(a_stream_squatter_is_recognised_before_a_byte_is_sent)
{
        struct squatter s;

        NEED_ROOT();
        dir_enter(01777);
        start_squatter(&s, SOCK_STREAM);
        CHECK_EQ(say_as(0, 0, "stream:./s"), LINK_E_UNTRUSTED);
        check_unheard(&s);
        dir_leave();
}
