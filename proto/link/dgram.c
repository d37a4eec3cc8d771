/* Design note. A datagram socket hears whoever may write to its file, and cannot say who that is
 * but by the credentials of each datagram: SO_PASSCRED is on before the file is there (listener.c),
 * so every datagram has its own; those that came before, to a socket that was passed on, are told
 * by pid 0, and refused until the queue was seen empty once. On the sending side there is nobody to
 * ask either (SO_PEERCRED is empty), and the file's owner has to do. What was looked at is what is
 * reached: the connection goes through the descriptor, and where the system cannot do that, by the
 * path, which must show the same file before and after; the descriptor keeps its inode number from
 * being used again.
 *
 * Kernel behaviour relied on (tests/link/kernel_dgram_test.c): a connected sender gets EAGAIN when
 * the receiver's queue is full, and poll says when it is not; ECONNREFUSED once when the receiver
 * is gone, then ENOTCONN. */
#include "proto/link/dgram.h"

#include "proto/link/early.h"
#include "proto/link/msg.h"
#include "proto/link/os.h"
#include "proto/link/reach.h"
#include "proto/link/say.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dgram {
        int fd;
};

static int recv_outcome(int error)
{
        switch (-error) {
        case EAGAIN:
                return LINK_E_AGAIN;
        case ENOBUFS:
        case ENOMEM:
                return LINK_E_EXHAUSTED;
        default:
                return error;
        }
}

int dgram_recv(struct listener *l, struct graveyard *yard, void *buf, size_t cap, size_t *ret_len,
        struct cred *ret_sender)
{
        union msg_control control;
        struct msg_extras extras;
        struct iovec iov = {.iov_base = buf, .iov_len = cap};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n = msg_recv(listener_fd(l), &msg, false);

        if (n == -EAGAIN)
                listener_saw_empty(l);
        if (n < 0)
                return recv_outcome((int)n);
        bool has_fds = msg_take(&msg, yard, &extras) < 0 || extras.fds;
        fdset_unref(extras.fds);
        if (extras.has_cred && extras.cred.pid)
                *ret_sender = extras.cred;
        if (n == 0 || has_fds || !extras.has_cred || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                return LINK_E_BROKEN;
        if (extras.cred.pid == 0 && listener_has_early(l))
                return LINK_E_BROKEN;
        *ret_len = (size_t)n;
        *ret_sender = extras.cred;
        return 0;
}

static int check_owner(const struct address *a, const struct stat *st, struct link_why *why)
{
        char expected[REACH_EXPECTED];

        if (reach_trusts(a, st->st_uid))
                return 0;
        say(why->text, "its file belongs to uid %u%s", (unsigned)st->st_uid,
                reach_expected(a, expected));
        return LINK_E_UNTRUSTED;
}

static int check_unchanged(
        const struct address *a, const struct os_found *before, struct link_why *why)
{
        cleanup_(os_found_deinit) struct os_found now = OS_FOUND_INIT;
        int r = reach_find(a, &now, why);

        if (r)
                return r;
        if (now.st.st_dev == before->st.st_dev && now.st.st_ino == before->st.st_ino)
                return 0;
        say(why->text, "it is being replaced");
        return LINK_E_BUSY;
}

static int connect_file(int fd, const struct address *a, struct link_why *why)
{
        cleanup_(os_found_deinit) struct os_found found = OS_FOUND_INIT;
        int r = reach_find(a, &found, why);

        if (r || (r = check_owner(a, &found.st, why)) || (r = reach_connect(fd, &found, a, why)))
                return r;
        return check_unchanged(a, &found, why);
}

static int open_dgram(const struct address *a, struct dgram **ret_dgram, struct link_why *why)
{
        cleanup_(dgram_freep) struct dgram *d = malloc(sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->fd = os_socket(SOCK_DGRAM);
        if (d->fd < 0)
                return d->fd;
        if ((r = connect_file(d->fd, a, why)) || (r = os_send_room(d->fd, LINK_SEND_BYTES)))
                return r;
        *ret_dgram = take_ptr(d);
        return 0;
}

int dgram_connect(const struct address *a, struct dgram **ret_dgram, struct link_why *ret_why)
{
        bool is_dgram = a->transport == TRANSPORT_DGRAM && !a->is_abstract;
        const char *lack = is_dgram ? os_lacks(a) : "not a dgram: address";

        if (lack) {
                say(ret_why->text, "%s", lack);
                return LINK_E_UNSUPPORTED;
        }
        int r = open_dgram(a, ret_dgram, ret_why);
        if (r < 0)
                say(ret_why->text, "%s", strerror(-r));
        return r;
}

int dgram_send(struct dgram *d, const void *data, size_t len)
{
        struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        assert(len > 0);
        if (len > LINK_PACKET_BYTES)
                return LINK_E_TOO_BIG;
        ssize_t n = msg_send(d->fd, &msg);
        return n < 0 ? msg_send_outcome((int)n, false) : 0;
}

int dgram_fd(const struct dgram *d)
{
        return d->fd;
}

struct dgram *dgram_free(struct dgram *d)
{
        if (d) {
                if (d->fd >= 0)
                        close(d->fd);
                free(d);
        }
        return NULL;
}

void dgram_freep(struct dgram **d)
{
        *d = dgram_free(*d);
}
