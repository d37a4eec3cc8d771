/* Design note. The actors do not wait for anything: what they started goes on during the turns of
 * the bystanders, or does not, for they may be cut off at any time. Only when all is healed they
 * are asked for a sign of life: whom the broker has not cut off it must serve. */
#include "tests/faults/stage.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        LARGE_BYTES = 150000,
        FLOOD_BYTES = 60000,
        FLOOD_MESSAGES = 12,
        CONNECT_TURNS = 6,
};

static void on_connected(baton *b, int result, const char *text, void *arg)
{
        struct actor *a = arg;

        (void)b;
        (void)text;
        a->is_done = true;
        a->result = result;
        a->was_on = result == 0;
}

static void come(struct stage *s, enum actor_name name)
{
        struct actor *a = &s->actors[name];
        const char *address = s->addresses[name == ACTOR_STREAM];

        CHECK_EQ(baton_new(&a->b), 0);
        baton_set_nonblocking(a->b, true);
        if (name == ACTOR_PLAIN || name == ACTOR_GIVER)
                baton_set_large(a->b, SIZE_MAX);
        CHECK_EQ(baton_connect_start(a->b, address, -1, on_connected, a), 0);
}

static void go(struct stage *s)
{
        for (int i = 0; i < ACTORS_N_; i++) {
                struct actor *a = &s->actors[i];
                if (a->b && (i != ACTOR_MUTE || !a->is_done))
                        (void)!baton_process(a->b);
        }
}

static void turn(struct stage *s)
{
        for (int i = 0; i < 3; i++) {
                go(s);
                stage_turn(s);
        }
        go(s);
}

/* For an adopted socket there is HELLO alone. */
static void say_hello(struct stage *s)
{
        static const uint8_t HELLO[] = {0x95, 1, 1, 0xa1, 'a', 0, 0x80};
        int on = 1;

        CHECK_EQ(setsockopt(s->adopted, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        (void)!send(s->adopted, HELLO, sizeof(HELLO), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void all_come(struct stage *s)
{
        bool is_done = false;

        say_hello(s);
        for (enum actor_name i = 0; i < ACTOR_LATE; i++)
                come(s, i);
        for (int i = 0; i < CONNECT_TURNS && !is_done; i++) {
                turn(s);
                is_done = true;
                for (enum actor_name k = 0; k < ACTOR_LATE; k++)
                        is_done &= s->actors[k].is_done;
        }
}

static void on_request(baton *b, const struct baton_message *m, void *arg)
{
        (void)arg;
        if (m->is_request)
                (void)!baton_reply(b, m->token, "yes", 3);
}

static void subscribe(struct stage *s, enum actor_name name, const char *filter,
        const struct baton_subscription *options)
{
        baton *b = s->actors[name].b;

        if (baton_is_connected(b))
                (void)!baton_subscribe_start(b, filter, options, on_request, NULL, NULL, NULL);
}

static void all_subscribe(struct stage *s)
{
        const struct baton_subscription drops = {.overflow = BATON_DROP_OLDEST, .max_fds = 4};
        const struct baton_subscription cuts = {
                .overflow = BATON_DISCONNECT, .queue_bytes = 65536, .max_fds = 4};
        const struct baton_subscription works = {.group = "team", .ack = true};

        subscribe(s, ACTOR_PLAIN, "x.>", &drops);
        subscribe(s, ACTOR_TAKER, "x.>", &drops);
        subscribe(s, ACTOR_STREAM, "x.>", &drops);
        subscribe(s, ACTOR_TAKER, "by.>", &drops);
        subscribe(s, ACTOR_STREAM, "by.>", &drops);
        subscribe(s, ACTOR_SERVER, "svc", NULL);
        subscribe(s, ACTOR_SERVER, "work", &works);
        subscribe(s, ACTOR_TAKER, "work", &works);
        subscribe(s, ACTOR_MUTE, "flood", &cuts);
        turn(s);
}

static void publish(struct stage *s, enum actor_name name, const char *topic, size_t len, bool fds)
{
        static const uint8_t bytes[LARGE_BYTES];
        const int two[] = {s->says, s->says};
        struct baton_publication p = {.topic = topic, .payload = bytes, .payload_len = len};
        baton *b = s->actors[name].b;

        if (fds) {
                p.fds = two;
                p.n_fds = ARRAY_LEN(two);
        }
        if (baton_is_connected(b))
                (void)!baton_publish_confirm(b, &p, NULL, NULL);
}

/* One that is published, and one that is none, which is logged. */
static void say_datagrams(struct stage *s)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        baton *b;

        CHECK(fd >= 0);
        strcpy(addr.sun_path, strchr(s->addresses[2], '/'));
        (void)!sendto(fd, "?", 1, MSG_DONTWAIT, (const struct sockaddr *)&addr, sizeof(addr));
        close(fd);

        CHECK_EQ(baton_new(&b), 0);
        if (baton_connect(b, s->addresses[2], LONG_MS) == 0)
                (void)!baton_publish(b, "x.datagram", "d", 1);
        baton_free(b);
}

static void retain(struct stage *s, size_t len)
{
        struct baton_publication p = {
                .topic = "x.kept", .payload = "kept", .payload_len = len, .flags = BATON_RETAIN};
        baton *b = s->actors[ACTOR_PLAIN].b;

        if (baton_is_connected(b))
                (void)!baton_publish_with(b, &p);
}

static void all_talk(struct stage *s)
{
        struct baton_publication question = {.topic = "svc", .payload = "?", .payload_len = 1};
        baton *asks = s->actors[ACTOR_PLAIN].b;

        publish(s, ACTOR_PLAIN, "x.plain", 100, false);
        publish(s, ACTOR_STREAM, "x.stream", 100, true);
        publish(s, ACTOR_GIVER, "x.fds", 100, true);
        retain(s, 4);
        turn(s);
        publish(s, ACTOR_GIVER, "x.chunks", LARGE_BYTES, true);
        publish(s, ACTOR_PLACER, "x.placed", LARGE_BYTES, false);
        turn(s);
        if (baton_is_connected(asks))
                (void)!baton_request_start(asks, &question, 5000, NULL, NULL, NULL, NULL);
        for (int i = 0; i < 3; i++)
                publish(s, ACTOR_PLACER, "work", 10, false);
        say_datagrams(s);
        turn(s);
        retain(s, 0);
}

/* Who does not read is cut off; what was in its queue has descriptors. */
static void flood(struct stage *s)
{
        publish(s, ACTOR_GIVER, "flood", 100, true);
        for (int i = 0; i < FLOOD_MESSAGES; i++) {
                publish(s, ACTOR_PLACER, "flood", FLOOD_BYTES, false);
                turn(s);
        }
}

/* The close of what was delivered hangs, until actors_end. */
static void hang(struct stage *s, enum actor_name name, unsigned n_threads)
{
        if (!s->has_hanging)
                return;
        __atomic_store_n(&fault_control->must_hang, true, __ATOMIC_SEQ_CST);
        publish(s, name, "x.hang", 1, true);
        turn(s);
        publish(s, name, "x.hang", 1, true);
        stage_await_threads(s, n_threads);
}

static void count_lost(struct stage *s)
{
        for (int i = 0; i < ACTORS_N_; i++) {
                struct actor *a = &s->actors[i];
                bool is_lost =
                        (a->is_done && a->result) || (a->was_on && !baton_is_connected(a->b));
                if (a->b && is_lost && i != ACTOR_MUTE)
                        s->n_lost++;
        }
}

static void leave(struct stage *s, enum actor_name name)
{
        struct actor *a = &s->actors[name];

        a->b = baton_free(a->b);
        *a = (struct actor){.b = NULL};
}

void actors_play(struct stage *s)
{
        all_come(s);
        all_subscribe(s);
        all_talk(s);
        flood(s);
        hang(s, ACTOR_GIVER, 3); /* two there were */
        count_lost(s);
        leave(s, ACTOR_GIVER);
        leave(s, ACTOR_PLAIN);
        come(s, ACTOR_LATE);
        turn(s);
        turn(s);
}

static void ask(struct stage *s, struct actor *a)
{
        for (int i = 0; i < 4 && !a->is_done; i++) /* it may wake for less */
                (void)!baton_wait(a->b, LONG_MS);
        if (!a->is_done) {
                /* One that was refused has been told so, or has seen the end. */
                stage_fail(s, "who connected was neither served nor dropped");
                return;
        }
        if (baton_is_connected(a->b) && baton_ping(a->b, LONG_MS) == -ETIMEDOUT)
                stage_fail(s, "a session that lasts is not served any more");
}

void actors_end(struct stage *s)
{
        hang(s, ACTOR_PLACER, 4);
        fault_let_go();
        fault_let_go();
        for (enum actor_name i = 0; i < ACTORS_N_; i++) {
                struct actor *a = &s->actors[i];
                if (a->b && i != ACTOR_MUTE && !s->wrong)
                        ask(s, a);
                if (a->b)
                        leave(s, i);
        }
        close(s->adopted);
}
