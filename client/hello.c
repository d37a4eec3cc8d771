/* Design note. HELLO goes alone, and nothing more before WELCOME. Who the broker is was checked
 * before; here it is asked what it can do.
 *
 * A broker that was given its end of a socketpair cannot ask the socket who holds the other one: it
 * would name whoever made the pair. The kernel adds our credentials to what we send while our own
 * end asks for those of the other side, so it does until WELCOME. */
#include "client/connect.h"
#include "client/stay.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int refuse(struct refusal *why, int error, const char *text)
{
        *why = (struct refusal){.error = error};
        snprintf(why->text, sizeof(why->text), "%s", text);
        return error;
}

static int refuse_bye(struct refusal *why, const struct msg_verdict *bye)
{
        switch (bye->code) {
        case WIRE_CODE_REFUSED:
                why->error = -EACCES;
                break;
        case WIRE_CODE_PROTOCOL:
        case WIRE_CODE_VERSION:
                why->error = -EPROTO;
                break;
        default:
                why->error = -ECONNREFUSED;
        }
        why->code = (unsigned)bye->code;
        code_text(bye, why->text);
        return why->error;
}

/* Which session this was, and what it saw last, for the broker to say what it has missed. A
 * publication that came in part was not seen. */
static void ask_what_was_missed(const struct baton *b, struct msg_hello *hello)
{
        const struct stay *s = b->stay;
        const struct in *in = &b->in;

        if (!s || !s->had_session || !b->facts.session)
                return;
        hello->resume_instance = (struct slice){s->instance, WIRE_INSTANCE_BYTES};
        hello->resume_session = b->facts.session;
        hello->resume_seq = in->last_seq - (in->last_seq && s->was_cut);
}

static int send_hello(struct baton *b, struct link *link, struct refusal *why)
{
        bool can_map = b->large_bytes != SIZE_MAX && memfile_can_seal();
        struct message hello = {
                .type = WIRE_HELLO,
                .hello = {.version = WIRE_VERSION,
                        .name = {(const uint8_t *)b->name, strlen(b->name)},
                        .features = can_map ? WIRE_FEATURE_MEMFD : 0},
        };

        ask_what_was_missed(b, &hello.hello);
        buf_clear(&b->frame);
        if (message_encode(&b->frame, &hello) < 0)
                return refuse(why, -ENOMEM, "out of memory");
        struct iovec iov = {b->frame.data, b->frame.len};
        int r = link_send(link, &iov, 1, NULL, 0);
        /* One that is gone may have said why: it is read. */
        if (r && r != LINK_E_GONE)
                return refuse(why, r < 0 ? r : -ECONNREFUSED, "HELLO could not be sent");
        return 0;
}

static void take_limits(struct facts *f, const struct msg_welcome *w)
{
        f->n_limits = 0;
        f->payload_bytes = WIRE_FRAME_BYTES;
        for (uint32_t i = 0; i < w->n_limits; i++) {
                const struct msg_limit *from = &w->limits[i];
                if (from->name.len >= sizeof(f->limits[0].name))
                        continue;
                char *name = f->limits[f->n_limits].name;
                snprintf(name, sizeof(f->limits[0].name), "%.*s", (int)from->name.len,
                        (const char *)from->name.data);
                f->limits[f->n_limits++].value = from->value;
                if (!strcmp(name, "payload_bytes"))
                        f->payload_bytes = from->value;
        }
}

static int take_welcome(struct baton *b, const struct msg_welcome *w, struct refusal *why)
{
        struct facts *f = &b->facts;

        if (w->version != WIRE_VERSION || w->instance.len != WIRE_INSTANCE_BYTES)
                return refuse(why, -EPROTO, "the broker speaks another version");
        f->session = w->session;
        f->rights = w->rights;
        f->features = w->features;
        f->window = w->window;
        f->missed = w->has_missed && w->missed <= INT64_MAX ? (int64_t)w->missed : -1;
        memcpy(f->instance, w->instance.data, WIRE_INSTANCE_BYTES);
        take_limits(f, w);
        int r = out_begin(b, w->window);
        return r < 0 ? refuse(why, r, "out of memory") : 0;
}

/* Reads the first frame of the packet; `*ret_rest` points behind it. */
static int read_welcome(
        struct baton *b, const struct packet *p, struct refusal *why, const uint8_t **ret_rest)
{
        const uint8_t *at = p->data;
        struct message m;
        struct frame f;

        int r = p->fds || scan_frame(&at, p->data + p->len, &f) ? -EPROTO : message_decode(&f, &m);
        if (r == -ENOMEM)
                return refuse(why, r, "out of memory");
        if (r)
                return refuse(why, -EPROTO, "this is no broker: malformed greeting");
        if (m.type == WIRE_BYE)
                return refuse_bye(why, &m.verdict);
        if (m.type != WIRE_WELCOME)
                return refuse(why, -EPROTO, "this is no broker: no WELCOME");
        *ret_rest = at;
        return take_welcome(b, &m.welcome, why);
}

/* Reads what there is. */
static int hear_welcome(
        struct baton *b, struct link *link, struct refusal *why, const uint8_t **ret_rest)
{
        struct packet *p = b->in.packet;
        /* One that reads no more may have said why: that is read. */
        int flushed = link_flush(link);

        switch (link_recv(link, p->data, WIRE_PACKET_BYTES, &p->len, &p->fds)) {
        case 0:
                return read_welcome(b, p, why, ret_rest);
        case LINK_E_AGAIN:
                break;
        case LINK_E_EOF:
                return refuse(why, -ECONNREFUSED, "the broker closed the connection");
        default:
                return refuse(why, -EPROTO, "receiving the greeting failed");
        }
        return flushed < 0 ? refuse(why, flushed, strerror(-flushed)) : HELLO_E_AGAIN;
}

int hello_say(struct baton *b, struct link *link, bool is_inherited, struct refusal *ret_why)
{
        if (b->stay && b->in.assembly.state != ASSEMBLY_NONE)
                b->stay->was_cut = true;
        int r = connect_forget_old(b);

        if (r < 0)
                return refuse(ret_why, r, "out of memory");
        r = is_inherited ? link_ask_cred(link, true) : 0;
        return r < 0 ? refuse(ret_why, r, strerror(-r)) : send_hello(b, link, ret_why);
}

int hello_hear(struct baton *b, struct link *link, bool is_inherited, struct refusal *ret_why)
{
        struct packet *p = b->in.packet;
        const uint8_t *rest = NULL;
        int r = hear_welcome(b, link, ret_why, &rest);

        if (r == 0 && is_inherited && (r = link_ask_cred(link, false)) < 0)
                (void)refuse(ret_why, r, strerror(-r));
        if (r < 0)
                p->fds = fdset_unref(p->fds);
        if (r)
                return r;
        /* What follows WELCOME in its packet is dealt with as any other. */
        p->len -= (size_t)(rest - p->data);
        memmove(p->data, rest, p->len);
        return 0;
}
