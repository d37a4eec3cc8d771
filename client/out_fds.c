/* Design note. A publication with descriptors is a packet of its own, and unlike all others it is
 * never left in the buffer: whoever gave the descriptors may close them when the call returns. So
 * the call waits until the socket has taken it, or takes it back.
 *
 * A placed payload is such a descriptor too, behind those of the user. Its file is made when all
 * else is ready, and closed when the packet is sent: from then on it belongs to who receives it. */
#include "client/handle.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

/* What stood in the buffer goes first. */
static int empty_buffer(struct baton *b, const struct post *p)
{
        for (;;) {
                int r = post_make_room(b, p);
                if (r < 0 || (r = out_push(b)) < 0 || !b->out.len)
                        return r;
                if (b->nonblocking)
                        return handle_fail_here(b, -EAGAIN, "the socket is full");
                if ((r = handle_await(b, p->deadline_ns, false)) < 0)
                        return r;
        }
}

static int write_file(int fd, const struct post *p)
{
        int r = memfile_append(fd, p->payload, p->payload_len);

        if (r == 0)
                r = memfile_seal(fd);
        return r > 0 ? -EOPNOTSUPP : r;
}

static int make_file(struct baton *b, const struct post *p, int *ret_fd)
{
        cleanup_(closep) int fd = -1;
        int r;

        /* Who tries again and again should not copy each time. */
        if (b->nonblocking && link_wait(b->link, POLLOUT, 0) == LINK_E_AGAIN) {
                out_note_full(&b->out);
                return handle_fail_here(b, -EAGAIN, "the socket is full");
        }
        if ((r = memfile_new(&fd)) == 0)
                r = write_file(fd, p);
        if (r < 0)
                return handle_fail(
                        b, r, "a memory file of %zu bytes: %s", p->payload_len, strerror(-r));
        *ret_fd = fd;
        fd = -1;
        return 0;
}

static int send_sealed(struct baton *b, const struct post *p, const int *fds, size_t n_fds)
{
        struct out *o = &b->out;
        struct iovec iov = {o->data, o->len};

        for (;;) {
                int r = handle_check(b);
                if (r < 0)
                        return r;
                switch (r = link_send(b->link, &iov, 1, fds, n_fds)) {
                case 0:
                        return 0;
                case LINK_E_AGAIN:
                        break;
                case LINK_E_IN_FLIGHT:
                        return handle_fail(b, -EDQUOT,
                                "too many descriptors of this user are under way in sockets "
                                "(RLIMIT_NOFILE): try "
                                "again when others were received");
                case LINK_E_REFUSED:
                        return handle_fail_here(b, -EACCES, "the broker takes no descriptors");
                case LINK_E_EXHAUSTED:
                        return handle_fail(b, -ENOMEM, "out of memory");
                case LINK_E_GONE:
                        out_break(b);
                        continue;
                default:
                        return handle_fail(b, r < 0 ? r : -EMSGSIZE, "sending descriptors: %s",
                                strerror(r < 0 ? -r : EMSGSIZE));
                }
                if (b->nonblocking)
                        return handle_fail_here(b, -EAGAIN, "the socket is full");
                out_note_full(o);
                if ((r = handle_await(b, p->deadline_ns, false)) < 0)
                        return r;
        }
}

static int check(struct baton *b, const struct post *p)
{
        int r = handle_check(b);

        if (r < 0)
                return r;
        if (p->n_fds > WIRE_FDS)
                return handle_fail(b, -EINVAL, "%zu descriptors: a message has at most %d",
                        p->n_fds, WIRE_FDS);
        if (p->n_fds && !(b->facts.rights & WIRE_RIGHT_FDS))
                return handle_fail_here(b, -EACCES, "this session may not send descriptors");
        return 0;
}

int post_with_fds(struct baton *b, const struct post *p)
{
        cleanup_(closep) int made = -1;
        struct out *o = &b->out;
        int fds[WIRE_FDS + 1];
        size_t n = p->n_fds;
        int r = check(b, p);

        if (r < 0 || (r = empty_buffer(b, p)) < 0)
                return r;
        if (n)
                memcpy(fds, p->fds, n * sizeof(int));
        if (p->form == POST_PLACED) {
                if (!p->file && (r = make_file(b, p, &made)) < 0)
                        return r;
                fds[n++] = p->file ? *p->file : made;
        }
        if ((r = post_put(b, p)) < 0)
                return r;
        o->sealed = true;
        r = send_sealed(b, p, fds, n);
        o->sealed = o->blocked = false;
        if (r < 0)
                post_take_back(b, p);
        else if (p->op)
                op_start(b, p->op);
        if (r == -EAGAIN || (b->link && link_is_unsent(b->link)))
                out_note_full(o);
        /* What was said meanwhile stands in the tail. Its own failure shows up with the next call.
         */
        out_reset(o);
        int next = r < 0 ? out_kick(b) : 0;
        (void)next;
        return r;
}

/* For what is sent later: the user may close them. */
int post_copy_fds(struct baton *b, const struct post *p, struct fdset **ret_set)
{
        int fds[WIRE_FDS];
        size_t n = 0;
        int error = 0;

        if (p->n_fds > WIRE_FDS)
                return handle_fail(b, -EINVAL, "%zu descriptors: a message has at most %d",
                        p->n_fds, WIRE_FDS);
        /* Away, the next session is asked. */
        if (b->link && !(b->facts.rights & WIRE_RIGHT_FDS))
                return handle_fail_here(b, -EACCES, "this session may not send descriptors");
        for (; n < p->n_fds && !error; n++) {
                if ((fds[n] = fcntl(p->fds[n], F_DUPFD_CLOEXEC, 0)) < 0)
                        error = errno;
        }
        if (error) {
                size_t bad = --n;
                while (n > 0)
                        close(fds[--n]);
                return handle_fail(b, -error, "descriptor %zu: %s", bad, strerror(error));
        }
        if (fdset_new_take(fds, n, NULL, ret_set) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        return 0;
}
