/* Design note. The client goes on with a run of publications without decoding them
 * (message_run_next); the application must not be able to tell. So a packet is given to two
 * handles: as it is, and with every payload's length written in five bytes, which says the same
 * and begins no run. What the callbacks saw, what the calls returned and what the client sent must
 * be the same.
 *
 * The first two bytes of the input say what one of the callbacks does to the handle, and which; the
 * rest is the packet. It comes twice, for a packet may go on where the one before left off. */
#include "proto/base/buf.h"
#include "proto/wire/message.h"

#include <baton.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        /* Small enough for the longer lengths: a frame of 7 bytes becomes one of 10. */
        PACKET_BYTES_MOST = 40000,
};

enum act {
        ACT_NONE,
        ACT_UNSUBSCRIBE,
        ACT_SUBSCRIBE,
        ACT_PUBLISH,
        ACT_PING, /* which looks at what is left of the packet */
        ACT_CANCEL,
        ACT_CLOSE,
        ACT_CONNECT,
        ACT_FREE,
        ACT_N_,
};

/* One of the two handles, and the broker's end of its socket. */
struct play {
        baton *b;
        int fd;
        bool is_freed;
        uint64_t request;
        struct buf log;
        enum act act;
        unsigned act_at, n_called;
};

/* assert() may be compiled out; this may not. */
static void must(bool condition)
{
        if (!condition)
                abort();
}

static void log_bytes(struct play *p, const void *data, size_t len)
{
        must(buf_push(&p->log, &len, sizeof(len)) == 0 && buf_push(&p->log, data, len) == 0);
}

static __attribute__((format(printf, 2, 3))) void log_line(struct play *p, const char *format, ...)
{
        char line[512];
        va_list args;

        va_start(args, format);
        int n = vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        must(n >= 0 && (size_t)n < sizeof(line));
        log_bytes(p, line, (size_t)n);
}

/* ---------------------------------------------------------------- the broker's end */

static int open_pair(struct play *p)
{
        static const uint8_t instance[WIRE_INSTANCE_BYTES];
        cleanup_(buf_deinit) struct buf packet = BUF_INIT;
        const struct message welcome = {
                .type = WIRE_WELCOME,
                .welcome = {.version = WIRE_VERSION,
                        .session = 1,
                        .instance = {instance, sizeof(instance)},
                        .rights = 0x7f,
                        .window = 1 << 20},
        };
        int fds[2];

        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
        must(message_encode(&packet, &welcome) == 0);
        must(send(fds[1], packet.data, packet.len, 0) == (ssize_t)packet.len);
        p->fd = fds[1];
        return fds[0];
}

/* Logs the frames that the client sent, however it has packed them. */
static void hear(struct play *p)
{
        static uint8_t room[WIRE_PACKET_BYTES];
        cleanup_(buf_deinit) struct buf all = BUF_INIT;
        ssize_t n;

        while ((n = recv(p->fd, room, sizeof(room), MSG_DONTWAIT)) > 0)
                must(buf_push(&all, room, (size_t)n) == 0);
        log_bytes(p, all.data, all.len);
}

/* ---------------------------------------------------------------- the application */

static void on_message(baton *b, const struct baton_message *m, void *arg);

static void on_done(baton *b, int result, const char *text, void *arg)
{
        (void)b;
        (void)text;
        log_line(arg, "done %d", result);
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        (void)b;
        log_line(arg, "gap %s %llu %s", gap->filter, (unsigned long long)gap->count, gap->reason);
}

static void subscribe(struct play *p, const char *filter, const struct baton_subscription *options)
{
        uint32_t id = 0;
        int r = baton_subscribe_start(p->b, filter, options, on_message, on_done, p, &id);

        log_line(p, "subscribe %d %u", r, id);
}

static void reconnect(struct play *p)
{
        hear(p);
        close(p->fd);
        p->fd = -1;
        log_line(p, "close %d", baton_close(p->b, 0));
        int fd = open_pair(p);
        log_line(p, "connect %d", baton_connect_fd(p->b, fd, 1000));
}

static void act(struct play *p, uint32_t subscription)
{
        switch (p->act) {
        case ACT_UNSUBSCRIBE:
                log_line(p, "unsubscribe %d", baton_unsubscribe(p->b, subscription));
                break;
        case ACT_SUBSCRIBE:
                subscribe(p, "b", NULL);
                break;
        case ACT_PUBLISH:
                log_line(p, "publish %d", baton_publish(p->b, "b", "x", 1));
                break;
        case ACT_PING:
                log_line(p, "ping %d", baton_ping(p->b, 0));
                break;
        case ACT_CANCEL:
                log_line(p, "cancel %d", baton_cancel(p->b, p->request));
                break;
        case ACT_CLOSE:
                log_line(p, "close %d", baton_close(p->b, 0));
                break;
        case ACT_CONNECT:
                reconnect(p);
                break;
        case ACT_FREE:
                p->b = baton_free(p->b);
                p->is_freed = true;
                break;
        default:
                break;
        }
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct play *p = arg;
        struct baton_header h;

        (void)b;
        must(m->topic[m->topic_len] == '\0' && m->payload != NULL);
        log_bytes(p, m->topic, m->topic_len);
        log_bytes(p, m->payload, m->payload_len);
        log_line(p, "of %u: %llu, from %llu %d %d %d, %llu ms, token %llu", m->subscription,
                (unsigned long long)m->seq, (unsigned long long)m->sender.session,
                (int)m->sender.pid, (int)m->sender.uid, (int)m->sender.gid,
                (unsigned long long)m->age_ms, (unsigned long long)m->token);
        log_line(p, "%u, %u fds of %u, %d, %d%d%d%d", m->redelivered, m->n_fds, m->fds_withheld,
                m->payload_fd, m->retained, m->is_request, m->more, m->failed);
        for (uint32_t i = 0; i < m->n_headers && baton_header_at(m, i, &h) == 0; i++)
                log_bytes(p, h.key, h.key_len);
        if (p->n_called++ == p->act_at)
                act(p, m->subscription);
}

/* ---------------------------------------------------------------- the play */

static void open_play(struct play *p, const uint8_t *script)
{
        const struct baton_publication question = {.topic = "q"};
        const struct baton_subscription window = {.window = 3}, group = {.group = "g", .ack = true};

        p->act = script[0] % ACT_N_;
        p->act_at = script[1];
        must(baton_new(&p->b) == 0);
        baton_set_gap(p->b, on_gap, p);
        must(baton_connect_fd(p->b, open_pair(p), 1000) == 0);
        subscribe(p, "a.>", NULL);
        subscribe(p, "b", &window);
        subscribe(p, "c", &group);
        must(baton_request_start(p->b, &question, -1, on_message, on_done, p, &p->request) == 0);
        hear(p);
}

static void give(struct play *p, const struct buf *packet)
{
        if (p->is_freed || !packet->len)
                return;
        /* Whoever has left cannot be told anything. */
        (void)send(p->fd, packet->data, packet->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        for (int i = 0; i < 3; i++) {
                int r = p->is_freed ? 0 : baton_process(p->b);
                log_line(p, "process %d", r);
        }
        if (!p->is_freed)
                log_line(p, "flush %d", baton_flush(p->b, 0));
        hear(p);
}

static void close_play(struct play *p)
{
        p->b = baton_free(p->b);
        close(p->fd);
        buf_deinit(&p->log);
}

/* Copies a packet, with lengths of five bytes for all inline payloads. */
static void widen(const struct buf *packet, struct buf *ret_wide)
{
        const uint8_t *at = packet->data, *end = at + packet->len;
        struct frame f;
        struct message m;

        while (at < end && scan_frame(&at, end, &f) == 0) {
                bool is_inline =
                        f.type == WIRE_PUB && message_decode(&f, &m) == 0 && m.pub.payload.data;
                const uint8_t *from = f.data;
                if (is_inline) {
                        size_t n = m.pub.payload.len;
                        const uint8_t *head = m.pub.headers.data + m.pub.headers.len;
                        const uint8_t len[] = {MP_BIN32, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
                                (uint8_t)(n >> 8), (uint8_t)n};
                        must(buf_push(ret_wide, from, (size_t)(head - from)) == 0);
                        must(buf_push(ret_wide, len, sizeof(len)) == 0);
                        from = m.pub.payload.data;
                }
                must(buf_push(ret_wide, from, (size_t)(at - from)) == 0);
        }
        /* What is malformed stays so. */
        must(buf_push(ret_wide, at, (size_t)(end - at)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_(buf_deinit) struct buf packet = BUF_INIT, wide = BUF_INIT;
        struct play a = {.fd = -1}, b = {.fd = -1};

        if (size < 3 || size > PACKET_BYTES_MOST)
                return 0;
        must(buf_push(&packet, data + 2, size - 2) == 0);
        widen(&packet, &wide);
        open_play(&a, data);
        open_play(&b, data);
        for (int i = 0; i < 2; i++) {
                give(&a, &packet);
                give(&b, &wide);
        }
        must(a.log.len == b.log.len && !memcmp(a.log.data, b.log.data, a.log.len));
        close_play(&a);
        close_play(&b);
        return 0;
}
