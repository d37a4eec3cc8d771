/* Design note. Sockets hold what is sent to them, so both sides of a conversation can be played by
 * one thread, in any order: the broker's answer may lie ready before the client asks. */
#include "client/fake_broker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct slice text_of(const char *text)
{
        return (struct slice){(const uint8_t *)text, strlen(text)};
}

bool slice_is(struct slice s, const char *text)
{
        return s.len == strlen(text) && !memcmp(s.data, text, s.len);
}

struct message fake_welcome(uint64_t window, uint64_t rights)
{
        static const uint8_t instance[WIRE_INSTANCE_BYTES] = "0123456789abcdef";
        struct message m = {
                .type = WIRE_WELCOME,
                .welcome = {.version = 1,
                        .session = 7,
                        .instance = {instance, sizeof(instance)},
                        .name = text_of("fake"),
                        .rights = rights,
                        .window = window,
                        .n_limits = 1},
        };

        m.welcome.limits[0] = (struct msg_limit){text_of("fds"), 16};
        return m;
}

struct message fake_ok(uint64_t id, uint64_t value, uint64_t n)
{
        return (struct message){.type = WIRE_OK, .ok = {id, value, n}};
}

struct message fake_err(uint64_t id, uint64_t code, const char *text)
{
        return (struct message){
                .type = WIRE_ERR, .verdict = {.id = id, .code = code, .text = text_of(text)}};
}

struct message fake_bye(uint64_t code, const char *text)
{
        return (struct message){.type = WIRE_BYE, .verdict = {.code = code, .text = text_of(text)}};
}

struct message fake_credit(uint64_t amount)
{
        return (struct message){.type = WIRE_CREDIT, .credit = {WIRE_CREDIT_PUBLISH, 0, amount}};
}

struct message fake_delivery(uint64_t seq, uint32_t sub)
{
        struct message m = {
                .type = WIRE_DELIVERY,
                .delivery = {.seq = seq, .session = 9, .pid = 4711, .uid = 1000, .gid = 1001},
        };

        m.delivery.n_subs = 1;
        m.delivery.subs[0] = sub;
        return m;
}

struct message fake_reply(uint64_t request, uint64_t flags)
{
        struct message m = fake_delivery(1, 0);

        m.delivery.n_subs = 0;
        m.delivery.flags = WIRE_DELIVERY_REPLY | flags;
        m.delivery.request = request;
        return m;
}

struct message fake_pub(const char *topic, const char *payload)
{
        return (struct message){
                .type = WIRE_PUB, .pub = {.topic = text_of(topic), .payload = text_of(payload)}};
}

void fake_say(struct fake *f, struct message m)
{
        CHECK_EQ(message_encode(&f->out, &m), 0);
}

void fake_say_raw(struct fake *f, const void *bytes, size_t n)
{
        CHECK_EQ(buf_push(&f->out, bytes, n), 0);
}

void fake_send_fds(struct fake *f, const struct fdset *fds)
{
        struct iovec iov = {f->out.data, f->out.len};

        CHECK_EQ(link_send(f->link, &iov, 1, fds), 0);
        buf_clear(&f->out);
}

void fake_send(struct fake *f)
{
        fake_send_fds(f, NULL);
}

void fake_deliver(struct fake *f, uint64_t seq, uint32_t sub, const char *topic, const char *text)
{
        fake_say(f, fake_delivery(seq, sub));
        fake_say(f, fake_pub(topic, text));
        fake_send(f);
}

void fake_open_with(struct fake *f, uint64_t window, uint64_t rights)
{
        struct link *link;

        memset(f, 0, sizeof(*f));
        CHECK_EQ(baton_new(&f->b), 0);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f->link), 0);
        fake_say(f, fake_welcome(window, rights));
        fake_send(f);
        CHECK_EQ(baton_adopt_link(f->b, link, "@fake", 1000), 0);
        (void)fake_expect(f, WIRE_HELLO);
        f->n_packets = 0;
}

void fake_open(struct fake *f)
{
        fake_open_with(f, FAKE_WINDOW, FAKE_RIGHTS);
}

void fake_close(struct fake *f)
{
        f->b = baton_free(f->b);
        f->link = link_free(f->link);
        f->fds = fdset_unref(f->fds);
        buf_deinit(&f->out);
}

static bool receive(struct fake *f)
{
        size_t len;

        f->fds = fdset_unref(f->fds);
        int r = link_recv(f->link, f->in, sizeof(f->in), &len, &f->fds);
        if (r == LINK_E_AGAIN || r == LINK_E_EOF)
                return false;
        CHECK_EQ(r, 0);
        f->at = f->in;
        f->end = f->in + len;
        f->last_bytes = len;
        f->n_packets++;
        return true;
}

bool fake_next(struct fake *f, struct message *ret_m)
{
        struct frame frame;

        if (f->at == f->end && !receive(f))
                return false;
        CHECK_EQ(scan_frame(&f->at, f->end, &frame), 0);
        CHECK_EQ(message_decode(&frame, ret_m), 0);
        return true;
}

struct message fake_expect(struct fake *f, enum wire_type type)
{
        struct message m;

        CHECK(fake_next(f, &m));
        CHECK_EQ(m.type, type);
        return m;
}

size_t fake_skip(struct fake *f, enum wire_type type)
{
        struct message m;
        size_t n = 0;

        while (fake_next(f, &m))
                n += m.type == type;
        return n;
}

void fake_fill(struct fake *f)
{
        static const char big[60000];
        int r;

        baton_set_nonblocking(f->b, true);
        while ((r = baton_publish(f->b, "fill", big, sizeof(big))) == 0)
                continue;
        CHECK_EQ(r, -EAGAIN);
}

uint32_t fake_subscribe(struct fake *f, const char *filter, baton_message_fn fn, void *arg)
{
        uint32_t sub = 0;

        fake_say(f, fake_ok(f->b->ops.next_id, 0, 1));
        fake_send(f);
        CHECK_EQ(baton_subscribe(f->b, filter, NULL, fn, arg, &sub), 0);
        CHECK_EQ(fake_expect(f, WIRE_SUB).sub.sub, sub);
        return sub;
}

void note(struct notes *n, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        int len = vsnprintf(n->text + n->len, sizeof(n->text) - n->len, format, args);
        va_end(args);
        CHECK(len >= 0 && (size_t)len < sizeof(n->text) - n->len);
        n->len += (size_t)len;
}

void note_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b;
        note(arg, "%s=%.*s;", m->topic, (int)m->payload_len, (const char *)m->payload);
}

void note_done(baton *b, int result, const char *text, void *arg)
{
        (void)b;
        (void)text;
        note(arg, "done %d;", result);
}

void note_log(const char *text, void *arg)
{
        note(arg, "%s;", text);
}

int run(struct fake *f)
{
        uint64_t progress;
        int r;

        do {
                progress = f->b->progress;
                r = baton_process(f->b);
        } while (r > 0 || (r == 0 && f->b->progress != progress));
        return r;
}
