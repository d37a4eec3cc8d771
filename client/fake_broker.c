/* Design note. Sockets hold what is sent to them, so both sides of a conversation can be played by
 * one thread, in any order: the broker's answer may lie ready before the client asks. */
#include "client/fake_broker.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

struct message fake_welcome_large(uint64_t window, uint64_t features)
{
        struct message m = fake_welcome(window, FAKE_RIGHTS);

        m.welcome.features = features;
        m.welcome.limits[m.welcome.n_limits++] =
                (struct msg_limit){text_of("payload_bytes"), FAKE_LARGEST};
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
        if (m.type == WIRE_WELCOME)
                f->window = f->left = m.welcome.window;
        if (m.type == WIRE_CREDIT && m.credit.what == WIRE_CREDIT_PUBLISH)
                f->left += m.credit.amount;
}

void fake_refund(struct fake *f)
{
        if (f->left == f->window)
                return;
        fake_say(f, fake_credit(f->window - f->left));
        fake_send(f);
}

void fake_say_raw(struct fake *f, const void *bytes, size_t n)
{
        CHECK_EQ(buf_push(&f->out, bytes, n), 0);
}

void fake_send_fds(struct fake *f, const struct fdset *fds)
{
        struct iovec iov = {f->out.data, f->out.len};

        CHECK_EQ(link_send(f->link, &iov, 1, fdset_fds(fds), fdset_n(fds)), 0);
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

static void open_handle(struct fake *f, struct link *link, struct message welcome, size_t large)
{
        CHECK_EQ(baton_new(&f->b), 0);
        baton_set_large(f->b, large);
        fake_say(f, welcome);
        fake_send(f);
        CHECK_EQ(handle_adopt_link(f->b, link, "@fake", 1000), 0);
        f->features = fake_expect(f, WIRE_HELLO).hello.features;
        f->n_packets = 0;
}

void fake_open_over(struct fake *f, int socket_type, struct message welcome, size_t large)
{
        enum transport t = socket_type == SOCK_STREAM ? TRANSPORT_STREAM : TRANSPORT_SEQPACKET;
        struct link *link;
        int fds[2];

        memset(f, 0, sizeof(*f));
        CHECK_EQ(socketpair(AF_UNIX, socket_type | SOCK_CLOEXEC, 0, fds), 0);
        CHECK_EQ(link_new_adopt(fds[0], t, NULL, &link), 0);
        CHECK_EQ(link_new_adopt(fds[1], t, NULL, &f->link), 0);
        open_handle(f, link, welcome, large);
}

void fake_open_large(struct fake *f, uint64_t features, size_t large)
{
        fake_open_over(f, SOCK_SEQPACKET, fake_welcome_large(FAKE_WINDOW, features), large);
}

void fake_open_with(struct fake *f, uint64_t window, uint64_t rights)
{
        fake_open_over(f, SOCK_SEQPACKET, fake_welcome(window, rights), 0);
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

/* What a frame costs, written down once more: length, 4 KiB a descriptor, a 1,024th of the payload
 * that is placed or ends, and for the latter two together no more than a quarter of the window. */
static void charge(struct fake *f, const struct frame *frame, const struct message *m)
{
        uint64_t more = 0;

        switch (m->type) {
        case WIRE_PUB:
                CHECK(!f->in_chunks);
                more = m->pub.n_fds * 4096 + (m->pub.payload.data ? 0 : m->pub.size / 1024);
                break;
        case WIRE_BEGIN:
                CHECK(!f->in_chunks);
                more = m->pub.n_fds * 4096;
                f->in_chunks = true;
                f->chunk_bytes = 0;
                break;
        case WIRE_CHUNK:
                CHECK(f->in_chunks);
                f->chunk_bytes += m->chunk.len;
                break;
        case WIRE_END:
                CHECK(f->in_chunks);
                more = f->chunk_bytes / 1024;
                f->in_chunks = false;
                break;
        default:
                return;
        }
        f->last_cost = frame->len + (more < f->window / 4 ? more : f->window / 4);
        CHECK(f->last_cost <= f->left);
        f->left -= f->last_cost;
}

/* A packet with descriptors has one publication, and those that it counts. */
static void check_fds(const struct fake *f, const struct message *m)
{
        if (m->type != WIRE_PUB && m->type != WIRE_BEGIN)
                return;
        CHECK_EQ(m->pub.n_fds, fdset_n(f->fds));
        CHECK(!f->fds || f->at == f->end);
}

bool fake_next(struct fake *f, struct message *ret_m)
{
        struct frame frame;

        if (f->at == f->end && !receive(f))
                return false;
        CHECK_EQ(scan_frame(&f->at, f->end, &frame), 0);
        CHECK_EQ(message_decode(&frame, ret_m), 0);
        charge(f, &frame, ret_m);
        check_fds(f, ret_m);
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

void note_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        (void)b;
        note(arg, "%s lost %d (%s);", gap->filter, (int)gap->count, gap->reason);
}

void fake_enter_room(char room[32])
{
        snprintf(room, 32, "/tmp/baton-room-XXXXXX");
        CHECK_PTR(mkdtemp(room));
        CHECK_EQ(chdir(room), 0);
}

void fake_leave_room(const char *room)
{
        DIR *dir = opendir(".");

        CHECK_PTR(dir);
        for (struct dirent *e; (e = readdir(dir));)
                (void)unlink(e->d_name);
        closedir(dir);
        CHECK_EQ(chdir("/"), 0);
        CHECK_EQ(rmdir(room), 0);
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
