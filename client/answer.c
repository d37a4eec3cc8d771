/* Design note. Frames of the broker that are no publications: they answer something, give something
 * back, or end the session. They are handled when they arrive, whatever waits in the queue; only
 * the ERR that ends a request keeps its place among the publications, for its replies come first.
 *
 * An answer to nobody is ignored: its asker gave up. A frame that only a client may send, or that
 * makes no sense, ends the connection. */
#include "client/handle.h"

#include <errno.h>
#include <string.h>

int in_spoil(struct baton *b, const char *what)
{
        struct message bye = {
                .type = WIRE_BYE,
                .verdict = {.code = WIRE_CODE_PROTOCOL,
                        .text = {(const uint8_t *)what, strlen(what)}},
        };

        /* A courtesy; the connection ends in any case. */
        if (b->link && out_control(b, &bye) == 0 && out_push(b) == 0)
                b->said_bye = true;
        handle_lose(b, -EPROTO, 0, "the broker broke the protocol: %s", what);
        return -EPROTO;
}

static int grant(struct baton *b, const struct msg_credit *c)
{
        if (c->what != WIRE_CREDIT_PUBLISH || c->amount > INT64_MAX - b->out.window)
                return in_spoil(b, "bad credit");
        b->out.window += c->amount;
        out_note_credit(b, c->amount);
        /* A failure shows up with the next receive. */
        int r = b->large.state == LARGE_CHUNKS ? out_push(b) : 0;
        (void)r;
        return 0;
}

static int end_ok(struct baton *b, const struct msg_ok *ok, bool now)
{
        if (ok->n > CLIENT_PENDING)
                return in_spoil(b, "an answer to more than was asked");
        for (uint64_t i = 0; i < ok->n && !b->freed; i++) {
                struct op *op = ops_find(b, ok->id + i);
                int value = ok->value > INT32_MAX ? INT32_MAX : (int)ok->value;
                if (op && op->kind != OP_REQUEST && op->kind != OP_PING)
                        op_end(b, op, &(struct verdict){value, 0, ""}, now);
        }
        return 0;
}

static int end_err(struct baton *b, const struct msg_verdict *err, bool now)
{
        struct op *op = ops_find(b, err->id);
        char text[WIRE_TEXT_BYTES + 1];

        code_text(err, text);
        if (!err->id)
                handle_log(b, "refused: %s", text);
        else if (op && op->kind != OP_PING)
                op_end(b, op, &(struct verdict){code_errno(err->code), (unsigned)err->code, text},
                        now);
        return 0;
}

static int end_ping(struct baton *b, uint64_t token, bool now)
{
        struct op *op = ops_find(b, token);

        if (op && op->kind == OP_PING)
                op_end(b, op, &(struct verdict){0, 0, ""}, now);
        return 0;
}

static int hear_bye(struct baton *b, const struct msg_verdict *bye)
{
        char text[WIRE_TEXT_BYTES + 1];

        code_text(bye, text);
        b->said_bye = true;
        if (bye->code == WIRE_CODE_NONE)
                handle_lose(b, -ENOTCONN, 0, "the broker closed the connection");
        else
                handle_lose(b, -ENOTCONN, (unsigned)bye->code, "%s", text);
        return 0;
}

static int say_pong(struct baton *b, uint64_t token)
{
        struct message pong = {.type = WIRE_PONG, .number = token};
        int r = out_control(b, &pong);

        /* A broker that sends pings and does not read is out of order. */
        if (r == -ENOBUFS)
                return in_spoil(b, "it does not read");
        return 0;
}

int in_control(struct baton *b, const struct frame *f, bool now)
{
        struct message m;

        switch (message_decode(f, &m)) {
        case 0:
                break;
        case MESSAGE_E_IGNORE:
                return 0;
        default:
                return in_spoil(b, "malformed or unknown frame");
        }
        switch (m.type) {
        case WIRE_OK:
                return end_ok(b, &m.ok, now);
        case WIRE_ERR:
                return end_err(b, &m.verdict, now);
        case WIRE_CREDIT:
                return grant(b, &m.credit);
        case WIRE_PING:
                return say_pong(b, m.number);
        case WIRE_PONG:
                return end_ping(b, m.number, now);
        case WIRE_RIGHTS:
                b->facts.rights = m.number;
                return 0;
        case WIRE_BYE:
                return hear_bye(b, &m.verdict);
        default:
                return in_spoil(b, "a frame out of place");
        }
}

/* The ERR that ends a request stands behind its replies. A request that a callback waits for does
 * not go through the queue, nor does its end. */
static bool ends_request(const struct baton *b, const struct frame *f)
{
        struct message m;

        if (f->type != WIRE_ERR || message_decode(f, &m))
                return false;
        struct op *op = ops_find(b, m.verdict.id);
        return op && op->kind == OP_REQUEST && !op->nested;
}

bool in_is_ordered(const struct baton *b, const struct frame *f)
{
        switch (f->type) {
        case WIRE_DELIVERY:
        case WIRE_PUB:
        case WIRE_BEGIN:
        case WIRE_CHUNK:
        case WIRE_END:
        case WIRE_GAP:
                return true;
        default:
                return ends_request(b, f);
        }
}
