/* Design note. The input is a packet. Each frame is scanned and decoded as broker and client do it,
 * encoded, and decoded again: the two must be the same message, and from the second time on the
 * bytes must be the same too. Headers and topics are judged on the way, and what each message
 * points at is read, so that the sanitizer sees slices that leave the packet. At each frame the
 * latest run is asked whether it goes on there, and may say nothing else than scan and decoder. */
#include "proto/base/buf.h"
#include "proto/wire/headers.h"
#include "proto/wire/message.h"
#include "proto/wire/topic.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() may be compiled out; these may not. */
static void must(bool condition)
{
        if (!condition)
                abort();
}

static void touch(struct slice s)
{
        volatile uint8_t sum = 0;

        for (size_t i = 0; i < s.len; i++)
                sum = (uint8_t)(sum + s.data[i]);
}

static void judge_headers(struct slice map)
{
        struct reader r = {map.data, map.data + map.len};
        struct header h;
        const char *why;
        uint32_t n;

        if (headers_check(map, true, &why)) {
                must(why != NULL);
                return;
        }
        must(read_map(&r, &n) == 0 && n <= WIRE_HEADER_ENTRIES);
        while (n--) {
                must(headers_next(&r, &h) == 0);
                touch(h.key);
                if (h.kind == HEADER_STR || h.kind == HEADER_BIN)
                        touch(h.value.bytes);
        }
        must(r.at == r.end);
}

/* The encoder holds its caller to limits that a decoder does not hold strangers to. */
static bool may_encode(struct message *m)
{
        switch (m->type) {
        case WIRE_PUB:
        case WIRE_BEGIN:
                judge_headers(m->pub.headers);
                touch(m->pub.topic);
                touch(m->pub.payload);
                (void)topic_is_valid(m->pub.topic.data, m->pub.topic.len);
                return m->pub.topic.len <= WIRE_TOPIC_BYTES &&
                       m->pub.headers.len <= WIRE_HEADER_BYTES;
        case WIRE_BYE:
        case WIRE_ERR:
                touch(m->verdict.text);
                touch(m->verdict.limit);
                return m->verdict.text.len <= WIRE_TEXT_BYTES &&
                       m->verdict.limit.len <= WIRE_TEXT_BYTES;
        case WIRE_HELLO:
                touch(m->hello.name);
                touch(m->hello.resume_instance);
                return true;
        case WIRE_WELCOME:
                touch(m->welcome.instance);
                for (uint32_t i = 0; i < m->welcome.n_limits; i++)
                        touch(m->welcome.limits[i].name);
                return m->welcome.name.len <= WIRE_NAME_BYTES;
        case WIRE_SUB:
                touch(m->sub.filter);
                touch(m->sub.group);
                return m->sub.filter.len <= WIRE_TOPIC_BYTES &&
                       m->sub.group.len <= WIRE_TOPIC_BYTES;
        case WIRE_CHUNK:
                touch(m->chunk);
                return true;
        default:
                return true;
        }
}

/* Encodes `m`, and decodes that into `ret_again`, which points into `out`. */
static void encode_and_decode(struct buf *out, const struct message *m, struct message *ret_again)
{
        struct frame frame;

        must(message_encode(out, m) == 0);
        const uint8_t *at = out->data, *end = out->data + out->len;
        must(scan_frame(&at, end, &frame) == 0 && at == end);
        must(message_decode(&frame, ret_again) == 0);
        must(ret_again->type == m->type);
}

static void check_round_trip(struct message *m)
{
        cleanup_(buf_deinit) struct buf once = BUF_INIT, twice = BUF_INIT;
        struct message again, last;

        encode_and_decode(&once, m, &again);
        encode_and_decode(&twice, &again, &last);
        must(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
}

/* The quick ways must say what the general one says. */
static void check_hot(const struct frame *frame, int general, const struct message *m)
{
        struct msg_delivery d;
        struct msg_pub pub;

        if (frame->type == WIRE_PUB) {
                must(message_decode_pub(frame, &pub) == general);
                must(general || (pub.payload.data == m->pub.payload.data &&
                                        pub.n_headers == m->pub.n_headers));
        }
        if (frame->type == WIRE_DELIVERY) {
                must(message_decode_delivery(frame, &d) == general);
                must(general || (d.n_subs == m->delivery.n_subs && d.seq == m->delivery.seq));
        }
}

static bool is_alike(struct slice a, struct slice b)
{
        return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

/* `like` began the latest run, whose prefix is `run`; `run.len` 0: there is none. */
static void check_run(
        struct slice run, const struct msg_pub *like, const uint8_t *at, const uint8_t *end)
{
        struct slice payload;
        struct msg_pub pub;
        struct frame frame;
        const uint8_t *behind = at;

        if (!run.len)
                return;
        bool goes_on = message_run_next(run, at, end, &payload);
        bool is_pub = at < end && scan_frame(&behind, end, &frame) == 0 && frame.type == WIRE_PUB &&
                      message_decode_pub(&frame, &pub) == 0;
        /* It never says yes where they say no, and always where they find the same prefix. */
        must(is_pub || !goes_on);
        if (is_pub)
                must(goes_on == is_alike(run, message_run_prefix(&frame, &pub)));
        if (!goes_on)
                return;
        must(payload.data == pub.payload.data && payload.len == pub.payload.len);
        must(payload.data + payload.len == behind && pub.n_fds == like->n_fds);
        must(is_alike(pub.topic, like->topic) && is_alike(pub.headers, like->headers));
        must(pub.n_headers == like->n_headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *at = data, *end = data + size, *before = at;
        struct slice run = {0};
        struct msg_pub like = {0};
        struct frame frame;
        struct message m;

        for (;; before = at) {
                check_run(run, &like, at, end);
                if (at >= end || scan_frame(&at, end, &frame) != 0)
                        break;
                must(frame.data == before && frame.data + frame.len == at);
                must(frame.len <= WIRE_FRAME_BYTES && frame.body > frame.data && frame.body <= at);
                int r = message_decode(&frame, &m);
                must(r >= 0 && r <= MESSAGE_E_IGNORE);
                check_hot(&frame, r, &m);
                if (r == 0 && m.type == WIRE_PUB && message_run_prefix(&frame, &m.pub).len) {
                        run = message_run_prefix(&frame, &m.pub);
                        like = m.pub;
                }
                if (r == MESSAGE_E_UNSUPPORTED)
                        touch(m.sub.unknown);
                /* A frame without minimal encodings may be within its limit and not fit when
                 * encoded; ours are never longer than what they were decoded from. */
                if (r == 0 && may_encode(&m))
                        check_round_trip(&m);
        }
        must(at == before);
        return 0;
}
