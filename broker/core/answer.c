/* Design note. Answers overtake the queue: they gather in session.control and lead the next packet.
 * Those that end a request keep their place in the queue instead, as notes. Both together are
 * bounded by limits.control_bytes; a session that asks and never reads is ended, for an answer that
 * silently went missing would leave its asker waiting for ever.
 *
 * But the bound is for those that do not read. Within one turn of the shell's loop nobody can: a
 * window of small publications, each confirmed, is owed more than control_bytes at once. So while
 * the socket is not known to be full, a window's worth of answers is fine too; and so are the
 * confirms themselves when it is, for no more than a window of publications can be under way.
 *
 * Confirms that follow each other and say the same wait to be one (`confirms`) until something else
 * is said, or they are sent. */
#include "broker/core/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct slice slice_of(const char *text)
{
        return (struct slice){(const uint8_t *)text, strlen(text)};
}

static bool takes_answers(const struct session *s)
{
        return s->state != SESSION_ENDING && s->state != SESSION_GHOST;
}

/* Answers are as long as what they answer, or twice that: the shortest confirmed publication has 8
 * bytes, and OK at most 12. */
static bool has_too_many(const struct core *c, const struct session *s)
{
        const struct core_limits *limits = &c->config.limits;
        uint64_t window = 2 * limits->window_bytes;
        uint64_t confirms = s->confirm_bytes < window ? s->confirm_bytes : window;
        uint64_t most = limits->control_bytes + (s->socket_full ? confirms : window);

        return s->control.len + s->note_bytes > most;
}

static void end_unread(struct core *c, struct session *s)
{
        session_end_at(c, s, WIRE_CODE_STALLED, "answers are not read", "control_bytes");
}

/* Something was added to the answers. */
static void see(struct core *c, struct session *s)
{
        if (has_too_many(c, s))
                end_unread(c, s);
        else
                session_mark(c, s);
}

void answer(struct core *c, struct session *s, const struct message *m)
{
        if (!takes_answers(s))
                return;
        if (answer_gathered(s) < 0 || message_encode(&s->control, m) < 0) {
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for an answer");
                return;
        }
        see(c, s);
}

void answer_ok(struct core *c, struct session *s, uint64_t id, uint64_t value)
{
        answer(c, s, &(struct message){.type = WIRE_OK, .ok = {.id = id, .value = value, .n = 1}});
}

int answer_gathered(struct session *s)
{
        struct msg_ok *ok = &s->confirms;
        size_t before = s->control.len;
        int r = ok->n ? message_encode(&s->control, &(struct message){.type = WIRE_OK, .ok = *ok})
                      : 0;

        if (r < 0)
                return r;
        ok->n = 0;
        s->confirm_bytes += s->control.len - before;
        return 0;
}

void answer_confirm(struct core *c, struct session *s, uint64_t id, uint64_t value, uint64_t n)
{
        struct msg_ok *ok = &s->confirms;

        if (!takes_answers(s))
                return;
        if (ok->n && ok->value == value && ok->id + ok->n == id) {
                ok->n += n;
                return;
        }
        if (answer_gathered(s) < 0) {
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for an answer");
                return;
        }
        *ok = (struct msg_ok){id, value, n};
        see(c, s);
}

static void note_refusal(struct core *c, struct session *s, enum wire_code code, const char *limit)
{
        if (code == WIRE_CODE_REFUSED || (code == WIRE_CODE_LIMIT && *limit))
                refusal_note(c, s->who, &s->peer, code == WIRE_CODE_REFUSED ? "" : limit);
}

void answer_err(struct core *c, struct session *s, uint64_t id, enum wire_code code,
        const char *limit, const char *format, ...)
{
        char text[WIRE_TEXT_BYTES];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        note_refusal(c, s, code, limit);
        answer(c, s,
                &(struct message){
                        .type = WIRE_ERR,
                        .verdict = {.id = id,
                                .code = code,
                                .text = slice_of(text),
                                .limit = slice_of(limit)},
                });
}

void answer_err_in_order(struct core *c, struct session *s, uint64_t id, enum wire_code code,
        const char *limit, const char *text)
{
        struct buf bytes cleanup_(buf_deinit) = BUF_INIT;
        struct message m = {
                .type = WIRE_ERR,
                .verdict = {.id = id,
                        .code = code,
                        .text = slice_of(text),
                        .limit = slice_of(limit)},
        };

        note_refusal(c, s, code, limit);
        if (!takes_answers(s))
                return;
        if (list_is_empty(&s->queue)) {
                answer(c, s, &m);
                return;
        }
        struct msg *note = message_encode(&bytes, &m) < 0 ? NULL : msg_new(bytes.data, bytes.len);
        if (note)
                note->request = id;
        if (!note || queue_push(c, s, note, NULL) < 0)
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for an answer");
        else if (has_too_many(c, s))
                end_unread(c, s);
        msg_unref(note);
}
