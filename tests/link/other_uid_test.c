/* What holds between users: names and paths, descriptors in flight. */
#include "tests/link/others.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHILD_ERRNO = CHILD_BROKEN };

/* A child of another user that connects, and ends with the outcome of that. */
struct client {
        const char *text;
        uid_t uid;
        gid_t gid;
};

static int run_client(void *context)
{
        const struct client *c = context;
        struct address a;
        struct address_why address_why;
        struct link_why why;
        struct link *l = NULL;
        struct cred who;

        if (become(c->uid, c->gid) || address_parse(c->text, ADDRESS_CLIENT, &a, &address_why))
                return CHILD_BROKEN;
        int r = link_connect(&a, NULL, &l, &who, &why);
        return r < 0 ? CHILD_BROKEN : r;
}

static int connect_as(uid_t uid, gid_t gid, const char *text)
{
        struct client c = {.text = text, .uid = uid, .gid = gid};

        return reap(spawn(run_client, &c));
}

TEST(a_socket_of_mode_0600_is_closed_to_others)
{
        NEED_ROOT();
        dir_enter(0755);
        struct listener *l = open_listener("./s");
        CHECK_EQ(connect_as(NOBODY, NOBODY, "./s"), LINK_E_DENIED);
        CHECK_EQ(connect_as(0, 0, "./s"), 0);
        listener_close(l);
        l = open_listener("./s?mode=0666");
        CHECK_EQ(connect_as(NOBODY, NOBODY, "./s"), 0);
        listener_close(l);
        dir_leave();
}

TEST(a_directory_that_may_not_be_searched_denies_too)
{
        NEED_ROOT();
        dir_enter(0700);
        char text[64];
        struct listener *l = open_listener("./s?mode=0666");
        snprintf(text, sizeof(text), "%s/s", dir);
        CHECK_EQ(connect_as(NOBODY, NOBODY, text), LINK_E_DENIED);
        listener_close(l);
        dir_leave();
}

TEST(a_group_is_let_in_and_nobody_else)
{
        struct stat st;

        NEED_ROOT();
        dir_enter(0755);
        mode_t before = umask(077);
        struct listener *l = open_listener("./s?mode=0660&group=65533");
        umask(before);
        CHECK_EQ(lstat("s", &st), 0);
        CHECK_EQ(st.st_mode, S_IFSOCK | 0660);
        CHECK_EQ(st.st_gid, SOMEBODY);
        CHECK_EQ(st.st_uid, 0);
        CHECK_EQ(connect_as(NOBODY, SOMEBODY, "./s"), 0);
        CHECK_EQ(connect_as(NOBODY, NOBODY, "./s"), LINK_E_DENIED);
        listener_close(l);
        dir_leave();
}

TEST(the_default_mode_is_closed_even_with_a_group)
{
        struct stat st;

        NEED_ROOT();
        dir_enter(0755);
        struct listener *l = open_listener("./s?group=65533");
        CHECK_EQ(lstat("s", &st), 0);
        CHECK_EQ(st.st_mode, S_IFSOCK | 0600);
        CHECK_EQ(connect_as(NOBODY, SOMEBODY, "./s"), LINK_E_DENIED);
        listener_close(l);
        dir_leave();
}

LINUX_TEST(everybody_trusts_root_and_reaches_its_abstract_name, "no abstract names")
{
        NEED_ROOT();
        struct listener *l = open_listener("@of-root");
        CHECK_EQ(connect_as(NOBODY, NOBODY, "@of-root"), 0);
        CHECK_EQ(connect_as(NOBODY, NOBODY, "@of-root?uid=0"), 0);
        CHECK_EQ(connect_as(NOBODY, NOBODY, "@of-root?uid=65534"), LINK_E_UNTRUSTED);
        listener_close(l);
}

/* A child of another user that took the name first. It ends with 0 if one client came and left
 * without a byte, and 1 if it was sent something. */
struct squatter {
        const char *name;
        int ready[2];
};

static int squat(void *context)
{
        const struct squatter *s = context;
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        char buf[64];

        memcpy(addr.sun_path + 1, s->name, strlen(s->name));
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        if (become(NOBODY, NOBODY) || fd < 0 ||
                bind(fd, (struct sockaddr *)&addr,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                    strlen(s->name))) ||
                listen(fd, 4) || write(s->ready[1], "r", 1) != 1)
                return CHILD_BROKEN;
        int client = accept(fd, NULL, NULL);
        return client < 0 ? CHILD_BROKEN : recv(client, buf, sizeof(buf), 0) != 0;
}

static pid_t start_squatter(struct squatter *s)
{
        char byte;

        CHECK_EQ(pipe2(s->ready, O_CLOEXEC), 0);
        pid_t pid = spawn(squat, s);
        close(s->ready[1]);
        CHECK_EQ(read(s->ready[0], &byte, 1), 1);
        close(s->ready[0]);
        return pid;
}

LINUX_TEST(a_squatter_is_recognised_before_a_byte_is_sent, "no abstract names")
{
        struct squatter s = {.name = "squatted"};
        struct link_why why;
        struct link *l = NULL;
        struct cred who;
        char phrase[96];

        NEED_ROOT();
        struct address a = client_address("@squatted");
        pid_t pid = start_squatter(&s);
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), LINK_E_UNTRUSTED);
        snprintf(phrase, sizeof(phrase), "held by pid %d (uid 65534), expected root", (int)pid);
        CHECK_STR(why.text, phrase);
        CHECK_EQ(reap(pid), 0);
}

LINUX_TEST(another_user_does_not_trust_a_squatter_either, "no abstract names")
{
        struct squatter s = {.name = "squatted"};

        NEED_ROOT();
        pid_t pid = start_squatter(&s);
        CHECK_EQ(connect_as(SOMEBODY, SOMEBODY, "@squatted"), LINK_E_UNTRUSTED);
        CHECK_EQ(reap(pid), 0);
}

LINUX_TEST(a_user_trusts_itself, "no abstract names")
{
        struct squatter s = {.name = "own"};

        NEED_ROOT();
        pid_t pid = start_squatter(&s);
        CHECK_EQ(connect_as(NOBODY, NOBODY, "@own"), 0);
        CHECK_EQ(reap(pid), 0);
}

LINUX_TEST(whoever_is_expected_is_trusted, "no abstract names")
{
        struct squatter s = {.name = "expected"};
        struct link_why why;
        struct link *l = NULL;
        struct cred who;

        NEED_ROOT();
        struct address a = client_address("@expected?uid=65534");
        pid_t pid = start_squatter(&s);
        CHECK_EQ(link_connect(&a, NULL, &l, &who, &why), 0);
        CHECK_EQ(who.uid, NOBODY);
        CHECK_EQ(who.pid, pid);
        link_free(l);
        CHECK_EQ(reap(pid), 0);
}

LINUX_TEST(a_taken_name_says_by_which_user, "no abstract names")
{
        struct squatter s = {.name = "mine"};
        struct listener_why why;
        struct listener *l = NULL;
        char phrase[96];

        NEED_ROOT();
        struct address a = broker_address("@mine");
        pid_t pid = start_squatter(&s);
        CHECK_EQ(listener_open(&a, 4, &l, &why), LISTENER_E_TAKEN);
        snprintf(phrase, sizeof(phrase), "held by pid %d (uid 65534)", (int)pid);
        CHECK_STR(why.text, phrase);
        CHECK_EQ(reap(pid), 0);
}

static int connect_then_change(void *context)
{
        struct client c = *(struct client *)context;
        struct address a;
        struct address_why address_why;
        struct link_why why;
        struct link *l = NULL;
        struct cred who;

        if (setresgid(SOMEBODY, SOMEBODY, 0) || setresuid(SOMEBODY, SOMEBODY, 0) ||
                address_parse(c.text, ADDRESS_CLIENT, &a, &address_why) ||
                link_connect(&a, NULL, &l, &who, &why) || setresuid(0, 0, 0))
                return CHILD_BROKEN;
        return send_text(l, "as root", NULL) ? CHILD_BROKEN : 0;
}

LINUX_TEST(a_peer_has_the_uid_with_which_it_connected, "no abstract names")
{
        struct client c = {.text = "@peer"};
        struct cred who;

        NEED_ROOT();
        struct listener *l = open_listener("@peer");
        pid_t pid = spawn(connect_then_change, &c);
        CHECK_EQ(reap(pid), 0);
        struct link *server = accept_from(l, NULL);
        CHECK_EQ(cred_of_peer(link_fd(server), &who), 0);
        CHECK_EQ(who.pid, pid);
        CHECK_EQ(who.uid, SOMEBODY);
        CHECK_EQ(who.gid, SOMEBODY);
        check_text(server, "as root");
        link_free(server);
        listener_close(l);
}

/* F8: descriptors that wait to be received count against the sender's uid and RLIMIT_NOFILE. */
static int exhaust_in_flight(void *context)
{
        struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
        struct link *out[2], *in[2];
        struct fdset *set;
        int fd = dup(0), n = 0, r = 0;

        (void)context;
        if (setrlimit(RLIMIT_NOFILE, &limit) || become(SOMEBODY, SOMEBODY) ||
                fdset_new_take(&fd, 1, NULL, &set) || link_pair(NULL, NULL, &out[0], &in[0]) ||
                link_pair(NULL, NULL, &out[1], &in[1]))
                return 1;
        while (n < 1000 && (r = send_text(out[0], "x", set)) == 0)
                n++;
        if (r != LINK_E_IN_FLIGHT || n < 64 || n > 66)
                return 2;
        if (send_text(out[1], "x", set) != LINK_E_IN_FLIGHT) /* nobody else gets any either */
                return 3;
        if (send_text(out[0], "x", NULL) || send_text(out[1], "x", NULL)) /* but bytes */
                return 4;
        if (recv_any(in[0]) || recv_any(in[0]))
                return 5;
        if (send_text(out[1], "x", set)) /* until some were received */
                return 6;
        return 0;
}

TEST(too_many_descriptors_in_flight_say_so_and_pass)
{
        NEED_ROOT();
        CHECK_EQ(reap(spawn(exhaust_in_flight, NULL)), 0);
}

/* A child of another user that listens: an outcome, or an errno above it. */
static int open_as_somebody(void *context)
{
        struct address a;
        struct address_why address_why;
        struct listener_why why;
        struct listener *l = NULL;

        if (become(SOMEBODY, SOMEBODY) || address_parse(context, ADDRESS_BROKER, &a, &address_why))
                return CHILD_BROKEN;
        int r = listener_open(&a, 4, &l, &why);
        listener_close(l);
        return r < 0 ? CHILD_ERRNO - r : r;
}

static int listen_as_somebody(const char *text)
{
        return reap(spawn(open_as_somebody, (void *)text));
}

TEST(a_lock_planted_by_another_user_in_a_shared_directory_is_refused)
{
        NEED_ROOT();
        dir_enter(01777);
        int fd = open("s.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        CHECK_EQ(fchmod(fd, 0666), 0);
        CHECK_EQ(fchown(fd, NOBODY, NOBODY), 0);
        close(fd);
        int r = listen_as_somebody("./s");
        /* Where fs.protected_regular is set, the kernel refuses before we do. */
        CHECK(r == LISTENER_E_UNSAFE || r == CHILD_ERRNO + EACCES);
        CHECK_EQ(access("s", F_OK), -1);
        CHECK_EQ(unlink("s.lock"), 0);
        CHECK_EQ(listen_as_somebody("./s"), 0);
        dir_leave();
}

TEST(a_socket_that_may_not_be_asked_is_left_alone)
{
        NEED_ROOT();
        dir_enter(01777);
        struct listener *l = open_listener("./s");
        CHECK_EQ(unlink("s.lock"), 0);
        CHECK_EQ(listen_as_somebody("./s"), LISTENER_E_UNSAFE);
        struct link *client = connect_to("./s", NULL);
        link_free(client);
        listener_close(l);
        dir_leave();
}

TEST(a_group_that_may_not_be_given_leaves_nothing_behind)
{
        NEED_ROOT();
        dir_enter(01777);
        CHECK_EQ(listen_as_somebody("./s?mode=0660&group=0"), CHILD_ERRNO + EPERM);
        CHECK_EQ(access("s", F_OK), -1);
        CHECK_EQ(access("s.new", F_OK), -1);
        dir_leave();
}
