/* Design note. What all transports share: descriptors and credentials out of control messages, and
 * the meaning of an errno. Whatever came is taken into a set before anything is judged, because
 * messages that were cut short (F6, F7) deliver descriptors too. */
#include "proto/link/msg.h"

#include "proto/link/link.h"

#include <assert.h>
#include <string.h>

void msg_attach(struct msghdr *msg, union msg_control *control, const int *fds, size_t n_fds)
{
        size_t len = n_fds * sizeof(int);

        assert(n_fds <= FDSET_MAX);
        memset(control->bytes, 0, CMSG_SPACE(len));
        msg->msg_control = control->bytes;
        msg->msg_controllen = CMSG_SPACE(len);
        struct cmsghdr *c = &control->align;
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(len);
        memcpy(CMSG_DATA(c), fds, len);
}

int msg_send_outcome(int error, bool has_fds)
{
        switch (-error) {
        case EAGAIN:
                return LINK_E_AGAIN;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN: /* the peer went in this very moment: some kernels disconnect us then */
        case ECONNREFUSED:
                return LINK_E_GONE;
        case EMSGSIZE:
                return LINK_E_TOO_BIG;
        case ENOBUFS:
        case ENOMEM:
                return LINK_E_EXHAUSTED;
        case ETOOMANYREFS:
                return has_fds ? LINK_E_IN_FLIGHT : error;
        case EPERM:
                return has_fds ? LINK_E_REFUSED : error;
        default:
                return error;
        }
}

int msg_take(struct msghdr *msg, struct graveyard *yard, struct msg_extras *ret)
{
        int fds[FDSET_MAX];
        size_t n = 0;

        *ret = (struct msg_extras){.fds = NULL};
        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                ret->has_cred |= os_find_cred(c, &ret->cred);
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t more = size_min((c->cmsg_len - CMSG_LEN(0)) / sizeof(int), FDSET_MAX - n);
                memcpy(fds + n, CMSG_DATA(c), more * sizeof(int));
                n += more;
        }
        return n ? fdset_new_take(fds, n, yard, &ret->fds) : 0;
}
