/* Design note. The keys of `--json` are promised: {"topic", "payload" or "payload_base64", "size",
 * "time", "sender", "headers", "fds", "fds_withheld", "retained", "redelivered", "request"}; from
 * "headers" on they are absent where they would be empty, zero or false. `time` is when the broker
 * had the message, as well as that is known here: now, less its age.
 *
 * A payload that must be written otherwise than it is goes through the buffer piece by piece. */
#include "client/cli/sub_print.h"

#include "client/cli/fdkind.h"
#include "client/cli/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PIECE_BYTES = 65536 };

int sub_print_raw(struct output *out, const struct baton_message *m, struct progress *progress)
{
        return output_put(out, m->payload, m->payload_len, progress);
}

static int print_large(struct output *out, const struct baton_message *m, struct progress *progress)
{
        int r = buf_push(&out->buf, m->topic, m->topic_len);

        if (r == 0)
                r = buf_push(&out->buf, " ", 1);
        if (r == 0)
                r = output_put(out, m->payload, m->payload_len, progress);
        return r ? r : buf_push(&out->buf, "\n", 1);
}

int sub_print_plain(struct output *out, const struct baton_message *m, struct progress *progress)
{
        uint8_t *at;

        if (m->payload_len >= PIECE_BYTES)
                return print_large(out, m, progress);
        int r = buf_reserve(&out->buf, m->topic_len + m->payload_len + 2, &at);
        if (r < 0)
                return r;
        memcpy(at, m->topic, m->topic_len);
        at += m->topic_len;
        *at++ = ' ';
        if (m->payload_len)
                memcpy(at, m->payload, m->payload_len);
        at[m->payload_len] = '\n';
        out->buf.len += m->topic_len + m->payload_len + 2;
        return 0;
}

/* ---------------------------------------------------------------- JSON */

static int put(struct buf *out, const char *text)
{
        return buf_push(out, text, strlen(text));
}

/* What stands between the quotes. */
static int put_pieces(
        struct output *out, bool is_text, const uint8_t *at, size_t left, struct progress *progress)
{
        int r = 0;

        while (left && r == 0) {
                size_t n = json_piece(is_text, at, left, PIECE_BYTES);
                r = is_text ? json_put_text(&out->buf, at, n)
                            : json_put_base64_digits(&out->buf, at, n);
                if (r == 0)
                        r = output_relieve(out);
                at += n;
                left -= n;
                progress_add(progress, n);
        }
        return r;
}

static int put_payload(struct output *out, const struct baton_message *m, struct progress *progress)
{
        bool is_text = json_is_text(m->payload, m->payload_len);
        int r = put(&out->buf, is_text ? ",\"payload\":\"" : ",\"payload_base64\":\"");

        if (r == 0)
                r = put_pieces(out, is_text, m->payload, m->payload_len, progress);
        return r ? r : buf_printf(&out->buf, "\",\"size\":%zu", m->payload_len);
}

static int put_time(struct buf *out, int64_t ms)
{
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;

        gmtime_r(&seconds, &tm);
        return buf_printf(out, ",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"",
                tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                (int)(ms % 1000));
}

static int put_sender(struct buf *out, const struct baton_sender *s)
{
        return buf_printf(out,
                ",\"sender\":{\"session\":%" PRIu64 ",\"pid\":%ld,\"uid\":%lu,\"gid\":%lu}",
                s->session, (long)s->pid, (unsigned long)s->uid, (unsigned long)s->gid);
}

static int put_value(struct buf *out, const struct baton_header *h)
{
        switch (h->kind) {
        case BATON_BOOL:
                return put(out, h->value.boolean ? "true" : "false");
        case BATON_INT:
                return buf_printf(out, "%" PRId64, h->value.i);
        case BATON_UINT:
                return buf_printf(out, "%" PRIu64, h->value.u);
        case BATON_FLOAT:
                return json_put_double(out, h->value.f);
        case BATON_STR:
                return json_put_string(out, h->value.bytes.data, h->value.bytes.len);
        case BATON_BIN: {
                int r = put(out, "{\"base64\":");
                if (r == 0)
                        r = json_put_base64(out, h->value.bytes.data, h->value.bytes.len);
                return r < 0 ? r : put(out, "}");
        }
        default:
                return put(out, "null");
        }
}

static int put_headers(struct buf *out, const struct baton_message *m)
{
        struct baton_header h;
        int r = put(out, ",\"headers\":{");

        for (uint32_t i = 0; i < m->n_headers && r == 0; i++) {
                if (baton_header_at(m, i, &h) < 0)
                        break;
                if (i)
                        r = put(out, ",");
                if (r == 0)
                        r = json_put_string(out, h.key, h.key_len);
                if (r == 0)
                        r = put(out, ":");
                if (r == 0)
                        r = put_value(out, &h);
        }
        return r < 0 ? r : put(out, "}");
}

static int put_fds(struct buf *out, const struct baton_message *m)
{
        int r = put(out, ",\"fds\":[");

        for (uint32_t i = 0; i < m->n_fds && r == 0; i++)
                r = buf_printf(out, "%s{\"kind\":\"%s\"}", i ? "," : "",
                        fdkind_name(fdkind_of(m->fds[i])));
        return r < 0 ? r : put(out, "]");
}

static int put_rest(struct buf *out, const struct baton_message *m)
{
        int r = 0;

        if (m->n_headers)
                r = put_headers(out, m);
        if (r == 0 && m->n_fds)
                r = put_fds(out, m);
        if (r == 0 && m->fds_withheld)
                r = buf_printf(out, ",\"fds_withheld\":%" PRIu32, m->fds_withheld);
        if (r == 0 && m->retained)
                r = put(out, ",\"retained\":true");
        if (r == 0 && m->redelivered)
                r = buf_printf(out, ",\"redelivered\":%" PRIu32, m->redelivered);
        if (r == 0 && m->is_request)
                r = put(out, ",\"request\":true");
        return r < 0 ? r : put(out, "}\n");
}

int sub_print_json(struct output *out, const struct baton_message *m, int64_t now_ms,
        struct progress *progress)
{
        int r = put(&out->buf, "{\"topic\":");

        if (r == 0)
                r = json_put_string(&out->buf, m->topic, m->topic_len);
        if (r == 0)
                r = put_payload(out, m, progress);
        if (r == 0)
                r = put_time(&out->buf, now_ms - (int64_t)m->age_ms);
        if (r == 0)
                r = put_sender(&out->buf, &m->sender);
        return r ? r : put_rest(&out->buf, m);
}

int sub_print_json_gap(struct output *out, const struct baton_gap *gap)
{
        struct buf *buf = &out->buf;
        int r = put(buf, "{\"event\":\"gap\",\"filter\":");

        if (r == 0)
                r = json_put_string(buf, gap->filter, strlen(gap->filter));
        if (r == 0)
                r = buf_printf(buf, ",\"count\":%" PRIu64 ",\"reason\":", gap->count);
        if (r == 0)
                r = json_put_string(buf, gap->reason, strlen(gap->reason));
        return r < 0 ? r : put(buf, "}\n");
}

int sub_print_json_reconnected(struct output *out, bool is_another_instance, int64_t missed)
{
        int r = buf_printf(&out->buf, "{\"event\":\"reconnected\",\"instance_changed\":%s",
                is_another_instance ? "true" : "false");

        if (r == 0 && missed >= 0)
                r = buf_printf(&out->buf, ",\"missed\":%" PRId64, missed);
        return r < 0 ? r : put(&out->buf, "}\n");
}
