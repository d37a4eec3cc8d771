/* Design note. A handle without a session: each publication is one datagram, sent at once or not at
 * all. Nothing is gathered, nothing is kept, and nothing ever comes back, so there is nothing to
 * wait for. What needs an answer, or a session, is refused. */
#include "client/connect.h"

#include "proto/link/dgram.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int datagram_open(struct baton *b, const struct address *a, struct refusal *ret_why)
{
        struct dgram *dgram;
        struct link_why why;
        int r = dgram_connect(a, &dgram, &why);

        if (r) {
                (void)refuse(ret_why, connect_errno(r), why.text);
                return r == LINK_E_BUSY ? CONNECT_E_BUSY : ret_why->error;
        }
        /* Who reads is not known: a file was found to be trusted, not a process. */
        b->facts = (struct facts){
                .rights = WIRE_RIGHT_PUBLISH,
                .missed = -1,
                .payload_bytes = WIRE_FRAME_BYTES,
                .broker = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1},
        };
        (void)address_format(a, b->facts.address);
        if ((r = connect_forget_old(b)) < 0 || (r = out_begin(b, 0)) < 0) {
                dgram_free(dgram);
                return refuse(ret_why, r, "out of memory");
        }
        b->dgram = dgram;
        return 0;
}

/* What could not be sent is the caller's still. */
static int lose(struct baton *b, const struct post *p)
{
        out_drop(&b->out);
        post_take_back(b, p);
        handle_lose(b, -ENOTCONN, 0, "nobody reads there any more");
        return handle_check(b);
}

static int send_packet(struct baton *b, const struct post *p)
{
        int r = dgram_send(b->dgram, b->out.data, b->out.len);

        switch (r) {
        case 0:
                return 0;
        case LINK_E_AGAIN:
                out_note_full(&b->out);
                return handle_fail(b, -EAGAIN, "%s: the socket is full", b->facts.address);
        case LINK_E_GONE:
                return lose(b, p);
        case LINK_E_EXHAUSTED:
                return handle_fail(b, -ENOMEM, "out of memory");
        default:
                r = r < 0 ? r : -EMSGSIZE;
                return handle_fail(b, r, "%s: %s", b->facts.address, strerror(-r));
        }
}

int datagram_post(struct baton *b, struct post *p)
{
        const uint64_t known = WIRE_INGRESS_RETAIN | WIRE_INGRESS_NO_ECHO;

        if (p->head != WIRE_INGRESS || p->op || p->n_fds || (p->flags & ~known))
                return handle_check(b);
        /* There is no session to which it could come back. */
        p->flags &= ~(uint64_t)WIRE_INGRESS_NO_ECHO;
        int r = post_measure(b, p);
        if (r < 0)
                return r;
        b->out.window = p->cost; /* there is none */
        if ((r = post_put(b, p)) == 0 && (r = send_packet(b, p)) < 0 && b->dgram)
                post_take_back(b, p);
        out_reset(&b->out);
        return r;
}
