/* Design note. What clients say: well-formed frames with chosen fields, so that short inputs reach
 * far, and raw bytes. */
#include "tests/fuzz/session_play.h"

#include <string.h>

static struct slice text(const char *s)
{
        return (struct slice){(const uint8_t *)s, strlen(s)};
}

static struct slice topic_of(uint8_t n)
{
        static const char *const topics[] = {"a", "a.b", "b", "_a", "$sys.status", "", "a..b", "*",
                "a.*", ">", "a.>", "*.b", "a.b.c", "_a.>", "$sys.dead", "b.c.d.e.f.g"};

        return text(topics[n % ARRAY_LEN(topics)]);
}

static void say(struct play *p, const struct message *m)
{
        must(message_encode(&p->packet, m) == 0);
}

static void say_pub(struct play *p, struct slice topic, uint32_t n_fds, uint8_t how)
{
        static uint8_t payload[30000];
        size_t len = how & 1 ? 20 : how & 2 ? sizeof(payload) : 0;

        say(p, &(struct message){.type = WIRE_PUB,
                       .pub = {.n_fds = n_fds, .topic = topic, .payload = {payload, len}}});
}

/* Of four, one observes, one shares, and one has a policy of its own. */
static void say_sub(struct play *p, struct client *c)
{
        uint8_t how = next(p), more = how >> 6 == 3 ? next(p) : 0;
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.id = ++c->last_id,
                        .sub = ++c->last_sub,
                        .filter = topic_of(how & 15),
                        .observer = how >> 6 == 1,
                        .max_fds = how >> 4 & 3,
                        .has_window = how >> 6 == 2,
                        .window = how >> 6 == 2 ? how >> 4 & 3 : 0,
                        .overflow = (enum wire_overflow)(more % WIRE_OVERFLOW_N_),
                        .queue_messages = more >> 3},
        };

        if (how >> 6 == 2 && !(how & 1)) {
                m.sub.group = (struct slice){(const uint8_t *)"g", 1};
                m.sub.ack = how & 2;
                m.sub.ack_ms = 500;
                m.sub.max_deliveries = 2;
        }
        say(p, &m);
}

/* About what has come: acknowledged, refused, or its window given back. */
static void say_answer(struct play *p, const struct client *c, uint8_t how)
{
        uint64_t last = c->last_seq - size_min(c->last_seq, how >> 3 & 3);
        struct message m = {.type = how & 2 ? WIRE_ACK : WIRE_NACK};

        m.ack.last = last;
        m.ack.first = last - size_min(last, how >> 5);
        m.ack.delay_ms = m.type == WIRE_NACK && how & 1 ? 300 : 0;
        if ((how & 6) == 6) {
                m.type = WIRE_CREDIT;
                m.credit = (struct msg_credit){WIRE_CREDIT_SUB, how >> 3 & 7, 1 + (how >> 6)};
        }
        say(p, &m);
}

static void say_answer_or_ping(struct play *p, const struct client *c)
{
        uint8_t how = next(p);

        if (how & 6)
                say_answer(p, c, how);
        else
                say(p, &(struct message){.type = how & 1 ? WIRE_PING : WIRE_PONG});
}

static void say_pubs(struct play *p, struct client *c)
{
        uint8_t how = next(p), topics = next(p);
        uint32_t n = 1 + (how >> 4 & 3);

        if (how & 15)
                say(p, &(struct message){.type = WIRE_INGRESS,
                               .ingress = {.flags = how & 15, .id = c->last_id + 1}});
        if (how & WIRE_INGRESS_CONFIRM)
                c->last_id += n;
        for (uint32_t i = 0; i < n; i++)
                say_pub(p, topic_of(i & 1 ? topics >> 4 : topics & 15), 0, how >> 6);
}

static void say_request(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        say(p, &(struct message){.type = WIRE_REQUEST,
                       .request = {.id = ++c->last_id, .timeout_ms = (how >> 4) * 100}});
        say_pub(p, topic_of(how & 15), 0, 0);
}

static void say_reply(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        say(p, &(struct message){.type = WIRE_REPLY,
                       .reply = {.token = c->token - (how >> 6),
                               .flags = how & 0x1c,
                               .id = how & 1 ? ++c->last_id : 0}});
        say_pub(p, how & 2 ? topic_of(how >> 5) : text(""), 0, how >> 5);
}

/* Bytes as they are: a length and a packet. */
static void say_raw(struct play *p)
{
        size_t n = next(p);

        n = size_min(n, (size_t)(p->end - p->at));
        must(buf_push(&p->packet, p->at, n) == 0);
        p->at += n;
}

static void say_one(struct play *p, struct client *c, uint8_t what)
{
        switch (what) {
        case 0:
                say_sub(p, c);
                break;
        case 1:
                say(p, &(struct message){.type = WIRE_UNSUB,
                               .unsub = {.id = ++c->last_id, .sub = 1 + next(p) % 8}});
                break;
        case 2:
                say_pubs(p, c);
                break;
        case 3:
                say_request(p, c);
                break;
        case 4:
                say_reply(p, c);
                break;
        case 5:
                say(p, &(struct message){.type = WIRE_CANCEL,
                               .number = c->last_id - size_min(c->last_id, next(p) % 4)});
                break;
        case 6:
                say_answer_or_ping(p, c);
                break;
        default:
                say_raw(p);
        }
}

void play_say_packet(struct play *p, struct client *c, uint8_t what)
{
        if (what < 8) {
                say_one(p, c, what);
        } else { /* two frames in a packet */
                say_one(p, c, what & 7);
                say_one(p, c, next(p) & 7);
        }
        play_feed(p, c, 0, 0);
}

void play_say_fds(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        if (how & 16)
                say(p, &(struct message){.type = WIRE_INGRESS, .ingress = {.flags = 4}});
        if (how & 32)
                say(p, &(struct message){.type = WIRE_REQUEST, .request = {.id = ++c->last_id}});
        say_pub(p, topic_of(how & 1), 1 + (how >> 1 & 1), how >> 6);
        if (how & 8)
                say_raw(p);
        play_feed(p, c, 1 + (how >> 2 & 1), 0);
}

/* ------------------------------------------------------------------- large */

/* A header frame, or none. Returns the topic that it asks for. */
static struct slice say_header(struct play *p, struct client *c, uint8_t how, struct slice topic)
{
        switch (how & 3) {
        case 1:
                say(p, &(struct message){.type = WIRE_INGRESS,
                               .ingress = {.flags = WIRE_INGRESS_CONFIRM, .id = ++c->last_id}});
                break;
        case 2:
                say(p, &(struct message){.type = WIRE_REQUEST,
                               .request = {.id = ++c->last_id, .timeout_ms = 500, .max_fds = 2}});
                break;
        case 3:
                say(p, &(struct message){.type = WIRE_REPLY,
                               .reply = {.token = c->token,
                                       .flags = how & 4 ? WIRE_DELIVERY_MORE : 0,
                                       .id = ++c->last_id}});
                return text("");
        }
        return topic;
}

static void say_begin(struct play *p, struct client *c, uint8_t how)
{
        static const uint64_t sizes[] = {0, 10, 90000, 200000};
        uint8_t more = next(p);
        uint32_t n_fds = how >> 2 & 1;
        struct slice topic = say_header(p, c, more, topic_of(more >> 4));

        say(p, &(struct message){.type = WIRE_BEGIN,
                       .pub = {.n_fds = n_fds, .topic = topic, .size = sizes[how >> 3 & 3]}});
        if (how >> 5 & 1) /* all of it */
                say(p, &(struct message){.type = WIRE_END, .number = how >> 6 & 1});
        play_feed(p, c, n_fds, 0);
}

static void say_chunks(struct play *p, struct client *c, uint8_t how)
{
        static const size_t lengths[] = {0, 10, 3000, 30000};
        static uint8_t data[30000];

        for (int n = how >> 5; n >= 0; n--) {
                say(p, &(struct message){
                               .type = WIRE_CHUNK, .chunk = {data, lengths[how >> 2 & 3]}});
                if (p->packet.len > WIRE_PACKET_BYTES / 2)
                        play_feed(p, c, 0, 0);
        }
        if (how >> 4 & 1)
                say(p, &(struct message){.type = WIRE_END});
        play_feed(p, c, 0, 0);
}

void play_say_upload(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        switch (how & 3) {
        case 0:
                say_begin(p, c, how);
                break;
        case 3:
                say(p, &(struct message){.type = WIRE_END, .number = how >> 2 & 1});
                play_feed(p, c, 0, 0);
                break;
        default:
                say_chunks(p, c, how);
        }
}

void play_say_placed(struct play *p, struct client *c)
{
        static const uint64_t sizes[] = {1, 3000, 70000, 150000};
        uint8_t how = next(p), more = next(p);
        uint64_t size = sizes[how & 3];
        uint32_t n_fds = 1 + (how >> 2 & 3);
        struct slice topic = say_header(p, c, more, topic_of(more >> 4));

        say(p, &(struct message){
                       .type = WIRE_PUB, .pub = {.n_fds = n_fds, .topic = topic, .size = size}});
        play_feed(p, c, n_fds, how >> 4 == 15 ? 0 : size);
}

void play_datagram(struct play *p)
{
        uint8_t how = next(p);
        struct core_peer peer = {.pid = 1 + (how >> 6), .uid = how & 32 ? 7 : 1000};

        if (how & 16)
                say_raw(p);
        else
                say_pub(p, topic_of(how & 15), 0, how >> 6);
        (void)core_datagram(p->core, &peer, p->packet.data, p->packet.len, p->now_ns);
        play_check(p);
        buf_clear(&p->packet);
}

static void say_credit(
        struct play *p, struct client *c, enum wire_credit what, uint64_t id, uint64_t amount)
{
        say(p, &(struct message){.type = WIRE_CREDIT, .credit = {what, id, amount}});
        play_feed(p, c, 0, 0);
}

void play_turn(struct play *p, struct client *c)
{
        uint8_t how = next(p);

        switch (how & 7) {
        case 0:
                p->is_scarce = !p->is_scarce;
                break;
        case 1:
                p->is_unreadable = !p->is_unreadable;
                break;
        case 2:
                p->is_store_full = !p->is_store_full;
                break;
        case 3:
                say_credit(p, c, WIRE_CREDIT_SUB, 1 + (how >> 3 & 3), how >> 5);
                break;
        default:
                say_credit(p, c, WIRE_CREDIT_FDS, 0, how >> 3);
        }
}
