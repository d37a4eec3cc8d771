/* Design note. A handle without a session: each publication is one datagram, sent at once or not at
 * all. Nothing is gathered, nothing is kept, and nothing ever comes back, so there is nothing to
 * wait for. What needs an answer, or a session, is refused. */
#include "client/connect.h"

#include "proto/link/dgram.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int datagram_open(
        struct baton *b, const struct address *a, uint64_t deadline_ns, struct refusal *ret_why)
{
        char text[ADDRESS_TEXT];
        struct dgram *dgram;
        struct link_why why;
        int ms = CONNECT_REST_FIRST_MS, r;

        while ((r = dgram_connect(a, &dgram, &why)) == LINK_E_BUSY &&
                clock_left_ms(deadline_ns) != 0)
                connect_rest(&ms, deadline_ns);
        if (r)
                return refuse(ret_why, connect_errno(r), why.text);
        /* Who reads is not known: a file was found to be trusted, not a process. */
        b->facts = (struct facts){
                .rights = WIRE_RIGHT_PUBLISH,
                .payload_bytes = WIRE_FRAME_BYTES,
                .broker = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1},
        };
        snprintf(b->facts.address, sizeof(b->facts.address), "%s", address_format(a, text));
        if ((r = connect_forget_old(b)) < 0 || (r = out_begin(b, 0)) < 0) {
                dgram_free(dgram);
                return refuse(ret_why, r, "out of memory");
        }
        b->dgram = dgram;
        return 0;
}

static int lose(struct baton *b)
{
        snprintf(b->loss_text, sizeof(b->loss_text), "%s: nobody reads there any more",
                b->facts.address);
        b->dgram = dgram_free(b->dgram);
        return handle_check(b);
}

static int send_packet(struct baton *b)
{
        int r = dgram_send(b->dgram, b->out.data, b->out.len);

        switch (r) {
        case 0:
                return 0;
        case LINK_E_AGAIN:
                return handle_fail(b, -EAGAIN, "%s: the socket is full", b->facts.address);
        case LINK_E_GONE:
                return lose(b);
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
        if ((r = post_put(b, p)) == 0)
                r = send_packet(b);
        out_reset(&b->out);
        return r;
}
