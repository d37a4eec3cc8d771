/* Design note. What the client's library spends on messages, for cost_test.py to count: one
 * process, one thread, a handle at one end of a socketpair and a few lines that play the broker at
 * the other. Only what runs inside the calls of baton.h is counted, so the player may be as lazy as
 * it likes.
 *
 * Nothing here waits: the window is so wide that the publisher never asks for credit, and the
 * player reads before the socket is full. */
#include "proto/base/buf.h"
#include "proto/wire/message.h"

#include <baton.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Receiving, its last letter changes where topics take turns. */
static char topic[] = "sensors.cabin.temp";

enum {
        PAYLOAD_BYTES = 64,
        /* Publications between two looks of the player: far fewer than a socket takes. */
        BURST = 100,
};

/* The broker's end. */
struct player {
        int fd;
        baton *b;
        struct buf packet;
        uint64_t seq;      /* of the next publication */
        uint64_t n_topics; /* that take turns */
        uint64_t n_heard;  /* by the callback */
};

static void must(bool condition, const char *what)
{
        if (condition)
                return;
        fprintf(stderr, "client_cost: %s failed\n", what);
        exit(1);
}

static void say(struct player *p, const struct message *m)
{
        must(message_encode(&p->packet, m) == 0, "encoding");
}

/* Returns whether the socket took the packet, which stays. */
static bool try_send(struct player *p)
{
        ssize_t n = send(p->fd, p->packet.data, p->packet.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        must(n >= 0 || errno == EAGAIN, "send");
        return n >= 0;
}

/* WELCOME lies ready before the client asks. */
static void open_player(struct player *p)
{
        static const uint8_t instance[WIRE_INSTANCE_BYTES];
        struct message welcome = {
                .type = WIRE_WELCOME,
                .welcome = {.version = WIRE_VERSION,
                        .session = 1,
                        .instance = {instance, sizeof(instance)},
                        .name = {(const uint8_t *)"player", 6},
                        .rights = 0x7f,
                        .window = UINT64_C(1) << 40},
        };
        int fds[2];

        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
        p->fd = fds[1];
        say(p, &welcome);
        must(try_send(p), "greeting");
        buf_clear(&p->packet);
        must(baton_new(&p->b) == 0, "baton_new");
        must(baton_connect_fd(p->b, fds[0], -1) == 0, "baton_connect_fd");
}

static void close_player(struct player *p)
{
        p->b = baton_free(p->b);
        close(p->fd);
        buf_deinit(&p->packet);
}

/* Reads all that the client has sent. */
static void hear_client(struct player *p)
{
        static uint8_t room[WIRE_PACKET_BYTES];

        while (recv(p->fd, room, sizeof(room), MSG_DONTWAIT) > 0)
                continue;
}

static void publish(struct player *p, uint64_t n)
{
        static const uint8_t payload[PAYLOAD_BYTES];

        for (uint64_t i = 0; i < n; i++) {
                must(baton_publish(p->b, topic, payload, sizeof(payload)) == 0, "baton_publish");
                if (i % BURST == BURST - 1)
                        hear_client(p);
        }
        must(baton_flush(p->b, -1) == 0, "baton_flush");
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct player *p = arg;

        (void)b;
        (void)m;
        p->n_heard++;
}

/* A packet as the broker builds it: one header, then publications, at most `n` and as many as fit.
 * Returns how many. */
static uint64_t build(struct player *p, uint32_t sub, uint64_t n)
{
        static const uint8_t payload[PAYLOAD_BYTES];
        const struct message pub = {
                .type = WIRE_PUB,
                .pub = {.topic = {(const uint8_t *)topic, sizeof(topic) - 1},
                        .payload = {payload, sizeof(payload)}},
        };
        struct msg_delivery header = {
                .seq = p->seq, .session = 2, .pid = 4711, .uid = 1000, .gid = 1000, .n_subs = 1};
        uint8_t head[MESSAGE_DELIVERY_BYTES];
        uint64_t i = 0;

        header.subs[0] = sub;
        buf_clear(&p->packet);
        must(buf_push(&p->packet, head, message_put_delivery(head, &header)) == 0, "encoding");
        for (size_t frame = 0; i < n && p->packet.len + frame <= WIRE_PACKET_BYTES; i++) {
                size_t before = p->packet.len;
                topic[sizeof(topic) - 2] = (char)('p' - i % p->n_topics);
                say(p, &pub);
                frame = p->packet.len - before;
        }
        return i;
}

static void receive(struct player *p, uint64_t n, uint64_t per_packet)
{
        uint64_t n_sent = 0;
        uint32_t sub;

        must(baton_subscribe_start(p->b, "sensors.>", NULL, on_message, NULL, p, &sub) == 0,
                "subscribe");
        while (p->n_heard < n) {
                for (;;) {
                        uint64_t built = build(p, sub, per_packet);
                        if (!try_send(p))
                                break;
                        p->seq += built;
                        n_sent += built;
                }
                while (p->n_heard < n_sent)
                        must(baton_process(p->b) >= 0, "baton_process");
        }
}

int main(int argc, char **argv)
{
        struct player p = {.packet = BUF_INIT, .seq = 1};

        if (argc < 3) {
                fprintf(stderr, "usage: client_cost publish N | receive N PER_PACKET TOPICS\n");
                return 2;
        }
        uint64_t n = strtoull(argv[2], NULL, 10);
        p.n_topics = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
        open_player(&p);
        if (!strcmp(argv[1], "publish"))
                publish(&p, n);
        else
                receive(&p, n, argc > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX);
        /* What was really done, for receiving is by whole packets. */
        printf("%llu\n", (unsigned long long)(p.n_heard ? p.n_heard : n));
        close_player(&p);
        return 0;
}
