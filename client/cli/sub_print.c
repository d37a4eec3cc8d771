/* Design note. The keys of `--json` are promised: {"topic", "payload" or "payload_base64", "size",
 * "time", "sender", "headers", "fds", "fds_withheld", "retained", "redelivered", "request"}; from
 * "headers" on they are absent where they would be empty, zero or false. `time` is when the broker
 * had the message, as well as that is known here: now, less its age. */
#include "client/cli/sub_print.h"

#include "client/cli/fdkind.h"
#include "client/cli/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int sub_print_plain(struct buf *out, const struct baton_message *m)
{
        uint8_t *at;
        int r = buf_reserve(out, m->topic_len + m->payload_len + 2, &at);

        if (r < 0)
                return r;
        memcpy(at, m->topic, m->topic_len);
        at += m->topic_len;
        *at++ = ' ';
        if (m->payload_len)
                memcpy(at, m->payload, m->payload_len);
        at[m->payload_len] = '\n';
        out->len += m->topic_len + m->payload_len + 2;
        return 0;
}

/* ---------------------------------------------------------------- JSON */

static int put(struct buf *out, const char *text)
{
        return buf_push(out, text, strlen(text));
}

static int put_payload(struct buf *out, const struct baton_message *m)
{
        bool is_text = json_is_text(m->payload, m->payload_len);
        int r = put(out, is_text ? ",\"payload\":" : ",\"payload_base64\":");

        if (r < 0)
                return r;
        r = is_text ? json_put_string(out, m->payload, m->payload_len)
                    : json_put_base64(out, m->payload, m->payload_len);
        return r < 0 ? r : buf_printf(out, ",\"size\":%zu", m->payload_len);
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

int sub_print_json(struct buf *out, const struct baton_message *m, int64_t now_ms)
{
        int r = put(out, "{\"topic\":");

        if (r == 0)
                r = json_put_string(out, m->topic, m->topic_len);
        if (r == 0)
                r = put_payload(out, m);
        if (r == 0)
                r = put_time(out, now_ms - (int64_t)m->age_ms);
        if (r == 0)
                r = put_sender(out, &m->sender);
        return r < 0 ? r : put_rest(out, m);
}

int sub_print_json_gap(struct buf *out, const struct baton_gap *gap)
{
        int r = put(out, "{\"event\":\"gap\",\"filter\":");

        if (r == 0)
                r = json_put_string(out, gap->filter, strlen(gap->filter));
        if (r == 0)
                r = buf_printf(out, ",\"count\":%" PRIu64 ",\"reason\":", gap->count);
        if (r == 0)
                r = json_put_string(out, gap->reason, strlen(gap->reason));
        return r < 0 ? r : put(out, "}\n");
}

int sub_print_json_reconnected(struct buf *out, bool is_another_instance)
{
        return buf_printf(out, "{\"event\":\"reconnected\",\"instance_changed\":%s}\n",
                is_another_instance ? "true" : "false");
}
