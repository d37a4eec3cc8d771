/* Design note. A publication with descriptors is a packet of its own, and unlike all others it is
 * never left in the buffer: whoever gave the descriptors may close them when the call returns. So
 * the call waits until the socket has taken it, or takes it back. The copies made here exist only
 * during the call: a struct fdset owns what it holds. */
#include "client/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int copy_fds(struct baton *b, const struct post *p, struct fdset **ret_set)
{
        int fds[WIRE_FDS];
        size_t n = 0;
        int error = 0;

        for (; n < p->n_fds; n++) {
                if ((fds[n] = fcntl(p->fds[n], F_DUPFD_CLOEXEC, 0)) < 0) {
                        error = errno;
                        break;
                }
        }
        if (error) {
                size_t bad = n;
                while (n > 0)
                        close(fds[--n]);
                return handle_fail(b, -error, "descriptor %zu: %s", bad, strerror(error));
        }
        if (fdset_new_take(fds, n, NULL, ret_set) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        return 0;
}

/* What stood in the buffer goes first. */
static int empty_buffer(struct baton *b, size_t n, uint64_t deadline_ns)
{
        for (;;) {
                int r = out_make_room(b, n, deadline_ns);
                if (r < 0 || (r = out_push(b)) < 0 || out_is_empty(&b->out))
                        return r;
                if (b->nonblocking)
                        return handle_fail(b, -EAGAIN, "the socket is full");
                if ((r = handle_await(b, deadline_ns, false)) < 0)
                        return r;
        }
}

static int send_sealed(struct baton *b, const struct fdset *set, uint64_t deadline_ns)
{
        struct out *o = &b->out;
        struct iovec iov = {o->data, o->len};

        for (;;) {
                int r = handle_check(b);
                if (r < 0)
                        return r;
                switch (r = link_send(b->link, &iov, 1, set)) {
                case 0:
                        return 0;
                case LINK_E_AGAIN:
                        break;
                case LINK_E_IN_FLIGHT:
                        return handle_fail(
                                b, -EDQUOT, "too many descriptors of this user are under way");
                case LINK_E_REFUSED:
                        return handle_fail(b, -EACCES, "the broker takes no descriptors");
                case LINK_E_EXHAUSTED:
                        return handle_fail(b, -ENOMEM, "out of memory");
                case LINK_E_GONE:
                        o->broken = true;
                        in_read_out(b);
                        continue;
                default:
                        return handle_fail(b, r < 0 ? r : -EMSGSIZE, "sending descriptors: %s",
                                strerror(r < 0 ? -r : EMSGSIZE));
                }
                if (b->nonblocking)
                        return handle_fail(b, -EAGAIN, "the socket is full");
                o->blocked = true;
                if ((r = handle_await(b, deadline_ns, false)) < 0)
                        return r;
        }
}

int out_post_fds(struct baton *b, const struct post *p, size_t n)
{
        cleanup_(fdset_unrefp) struct fdset *set = NULL;
        struct out *o = &b->out;
        int r;

        if (p->n_fds > WIRE_FDS)
                return handle_fail(b, -EINVAL, "at most %d descriptors", WIRE_FDS);
        if ((r = handle_check(b)) < 0)
                return r;
        if (!(b->facts.rights & WIRE_RIGHT_FDS))
                return handle_fail(b, -EACCES, "this session may not send descriptors");
        if ((r = copy_fds(b, p, &set)) < 0 || (r = empty_buffer(b, n, p->deadline_ns)) < 0 ||
                (r = out_put(b, p)) < 0)
                return r;
        o->sealed = true;
        r = send_sealed(b, set, p->deadline_ns);
        o->sealed = o->blocked = false;
        if (r < 0)
                o->window += n;
        else if (p->op)
                op_start(b, p->op);
        out_reset(o);
        /* What was said meanwhile stands in the buffer now. */
        int next = out_kick(b);
        return r < 0 || p->op ? r : next;
}
