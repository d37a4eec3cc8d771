/* Design note. A program that stays connected to a broker which others kill and restart, and keeps
 * books: what became of every publication, by what it was told, and by what arrived.
 *
 * Two handles in one poll loop. `pub` publishes with confirmation. `sub` subscribes, and publishes
 * without confirmation to itself: what it kept while it was away comes behind its subscription, so
 * there is always somebody to receive it. At most WINDOW of each kind are under way: what the
 * broker has taken must not have to wait in it for a slow reader, for a broker that is killed takes
 * its queues with it.
 *
 *      restart_client ADDRESS SEED [--flood]   (--flood: unconfirmed ones as many as there is room)
 *
 * Says on stdout what happens, a line each: "pub LOST", "sub BACK other", "arrived 400". Is told on
 * stdin: "hold" say "held", and do nothing until there is another line; "ticks N" say "ticked" when
 * the loop's own timer has fired N times; "stop" publish no more, wait until everything has its
 * fate, say the sums, and exit. */
#include <baton.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
        PUBLICATIONS_MAX = 1 << 21,
        WINDOW = 64,
        PAYLOAD_BYTES = 100,
        KEEP_BYTES = 1 << 20,
        TICK_MS = 10,
        SAY_EVERY = 100,
};

/* What a publication was told. Exactly one, but for those that are open. */
enum fate {
        FATE_NONE,    /* not published */
        FATE_OPEN,    /* confirmed: not told yet; unconfirmed: all there is to tell */
        FATE_TAKEN,   /* by at least one receiver */
        FATE_NOBODY,  /* nobody was subscribed */
        FATE_UNKNOWN, /* whether it arrived */
        FATE_REFUSED, /* the call, or its answer, has failed: it must not arrive */
        FATE_N_,
};

/* One kind of publications, with their numbers. */
struct book {
        const char *topic;
        uint8_t fates[PUBLICATIONS_MAX];
        bool has_arrived[PUBLICATIONS_MAX];
        uint64_t next;     /* number of the next one */
        uint64_t expected; /* of the next that may arrive: they come in order */
        uint64_t n_arrived, n_stray, n_kept;
        uint64_t n_open; /* published, not accounted for */
        uint64_t uncertain, dropped;
};

struct client {
        baton *pub, *sub;
        struct book confirmed, plain;
        bool floods, stops;
        unsigned seed;
        uint64_t ticks, ticks_wanted;
        uint64_t tick_ns;
        char line[128]; /* of stdin */
        size_t line_len;
};

/* ---------------------------------------------------------------- helpers */

static void die(const char *what, const char *why)
{
        fprintf(stderr, "restart_client: %s: %s\n", what, why);
        exit(1);
}

static uint64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void number_payload(uint8_t payload[PAYLOAD_BYTES], uint64_t number)
{
        memset(payload, (uint8_t)number, PAYLOAD_BYTES);
        memcpy(payload, &number, sizeof(number));
}

static uint64_t new_number(struct book *book)
{
        if (book->next == PUBLICATIONS_MAX)
                die(book->topic, "too many publications");
        return book->next++;
}

/* ---------------------------------------------------------------- what arrives */

static void account(struct book *book)
{
        book->n_open -= book->n_open > 0;
}

static void arrive(struct client *c, struct book *book, const struct baton_message *m)
{
        uint8_t whole[PAYLOAD_BYTES];
        uint64_t number = 0;

        if (m->payload_len == PAYLOAD_BYTES)
                memcpy(&number, m->payload, sizeof(number));
        number_payload(whole, number);
        bool is_ours = m->payload_len == PAYLOAD_BYTES && !memcmp(whole, m->payload, sizeof(whole));
        if (!is_ours || number < book->expected || number >= book->next ||
                book->fates[number] == FATE_REFUSED) {
                book->n_stray++;
                fprintf(stderr, "stray: %s %llu, expected %llu, published %llu, fate %d\n",
                        book->topic, (unsigned long long)number, (unsigned long long)book->expected,
                        (unsigned long long)book->next, is_ours ? book->fates[number] : -1);
                return;
        }
        book->expected = number + 1;
        book->has_arrived[number] = true;
        if (book == &c->plain || book->fates[number] == FATE_TAKEN)
                account(book);
        if (++book->n_arrived % SAY_EVERY == 0 && book == &c->confirmed)
                printf("arrived %llu\n", (unsigned long long)book->n_arrived);
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct client *c = arg;

        (void)b;
        arrive(c, strcmp(m->topic, c->plain.topic) ? &c->confirmed : &c->plain, m);
}

/* ---------------------------------------------------------------- what is told */

static struct client *the_client; /* `arg` of an answer is the number of its publication */

static void on_done(baton *b, int result, const char *text, void *arg)
{
        struct book *book = &the_client->confirmed;
        uint64_t number = (uint64_t)(uintptr_t)arg;
        uint8_t *fate = &book->fates[number];

        (void)b;
        if (*fate != FATE_OPEN)
                die("told twice", text);
        *fate = result > 0            ? FATE_TAKEN
                : result == 0         ? FATE_NOBODY
                : result == -ENOTCONN ? FATE_UNKNOWN
                                      : FATE_REFUSED;
        if (*fate == FATE_REFUSED)
                fprintf(stderr, "refused: %llu: %s\n", (unsigned long long)number, text);
        /* Those that are taken are accounted for when they are here. */
        if (*fate != FATE_TAKEN || book->has_arrived[number])
                account(book);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        static const char *const names[] = {"?", "LOST", "BACK", "READY", "DENIED", "GONE"};
        struct client *c = arg;
        bool is_sub = b == c->sub;
        struct book *book = is_sub ? &c->plain : &c->confirmed;

        book->uncertain += e->uncertain;
        book->dropped += e->dropped;
        if (e->change == BATON_LOST && is_sub)
                book->n_open = 0; /* none of these comes any more, but for what is kept */
        printf("%s %s%s\n", is_sub ? "sub" : "pub", names[e->change],
                e->other_instance ? " other" : "");
}

/* ---------------------------------------------------------------- publishing */

/* Returns false if there is no room now. */
static bool publish_confirmed(struct client *c)
{
        struct book *book = &c->confirmed;
        uint64_t number = new_number(book);
        uint8_t payload[PAYLOAD_BYTES];
        struct baton_publication p = {
                .topic = book->topic, .payload = payload, .payload_len = sizeof(payload)};

        number_payload(payload, number);
        book->fates[number] = FATE_OPEN;
        book->n_kept += baton_is_away(c->pub);
        int r = baton_publish_confirm(c->pub, &p, on_done, (void *)(uintptr_t)number);
        if (r == 0)
                book->n_open++;
        else
                book->fates[number] = FATE_REFUSED;
        return r == 0;
}

static bool publish_plain(struct client *c)
{
        struct book *book = &c->plain;
        uint64_t number = new_number(book);
        uint8_t payload[PAYLOAD_BYTES];

        number_payload(payload, number);
        book->fates[number] = FATE_OPEN;
        book->n_kept += baton_is_away(c->sub);
        struct baton_publication p = {
                .topic = book->topic, .payload = payload, .payload_len = sizeof(payload)};
        /* Two ways through the library. */
        int r = rand_r(&c->seed) & 1 ? baton_publish_with(c->sub, &p)
                                     : baton_publish(c->sub, p.topic, payload, sizeof(payload));
        if (r == 0)
                book->n_open++;
        else
                book->fates[number] = FATE_REFUSED;
        return r == 0;
}

static void publish_some(struct client *c)
{
        int n_confirmed = rand_r(&c->seed) % WINDOW, n_plain = rand_r(&c->seed) % WINDOW;

        while (n_confirmed-- && c->confirmed.n_open < WINDOW && publish_confirmed(c))
                ;
        while (n_plain-- && (c->plain.n_open < WINDOW || c->floods) && publish_plain(c))
                ;
}

/* ---------------------------------------------------------------- the loop */

static void hold(void)
{
        struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};

        printf("held\n");
        if (poll(&pfd, 1, -1) < 0)
                die("poll", strerror(errno));
}

static void obey(struct client *c, const char *line)
{
        if (!strcmp(line, "stop"))
                c->stops = true;
        else if (!strcmp(line, "hold"))
                hold();
        else if (!strcmp(line, "go"))
                return;
        else if (!strncmp(line, "ticks ", 6))
                c->ticks_wanted = c->ticks + strtoull(line + 6, NULL, 10);
        else
                die(line, "not understood");
}

static void hear(struct client *c)
{
        char *end;
        ssize_t n = read(STDIN_FILENO, c->line + c->line_len, sizeof(c->line) - 1 - c->line_len);

        if (n <= 0)
                die("stdin", "closed");
        c->line_len += (size_t)n;
        c->line[c->line_len] = '\0';
        while ((end = strchr(c->line, '\n'))) {
                *end = '\0';
                obey(c, c->line);
                c->line_len -= (size_t)(end + 1 - c->line);
                memmove(c->line, end + 1, c->line_len + 1);
        }
}

static void tick(struct client *c)
{
        if (now_ns() < c->tick_ns)
                return;
        c->tick_ns = now_ns() + (uint64_t)TICK_MS * 1000000;
        if (++c->ticks == c->ticks_wanted)
                printf("ticked\n");
}

static void process(baton *b)
{
        if (baton_process(b) < 0)
                die("baton_process", baton_error(b));
}

static void turn(struct client *c)
{
        struct pollfd pfds[] = {
                {.fd = STDIN_FILENO, .events = POLLIN},
                {.fd = baton_fd(c->pub), .events = baton_events(c->pub)},
                {.fd = baton_fd(c->sub), .events = baton_events(c->sub)},
        };
        int most[] = {TICK_MS, baton_timeout(c->pub), baton_timeout(c->sub)}, ms = TICK_MS;

        for (int i = 0; i < 3; i++)
                ms = most[i] >= 0 && most[i] < ms ? most[i] : ms;
        if (poll(pfds, 3, ms) < 0 && errno != EINTR)
                die("poll", strerror(errno));
        process(c->pub);
        process(c->sub);
        tick(c);
        if (pfds[0].revents)
                hear(c);
}

/* ---------------------------------------------------------------- the end */

/* Publishes until one has come through; what was to come before it is here then, or never comes. */
static void fence(struct client *c)
{
        struct book *book = &c->confirmed;
        uint64_t last = 0;

        do {
                while (!publish_confirmed(c))
                        turn(c);
                last = book->next - 1;
                while (book->fates[last] == FATE_OPEN)
                        turn(c);
        } while (book->fates[last] != FATE_TAKEN);
        while (!book->has_arrived[last])
                turn(c);
        while (!publish_plain(c))
                turn(c);
        while (!c->plain.has_arrived[c->plain.next - 1])
                turn(c);
}

static void say_sums(const struct book *book)
{
        static const char *const names[] = {
                "none", "open", "taken", "nobody", "unknown", "refused"};
        uint64_t n[FATE_N_] = {0}, missing[FATE_N_] = {0};

        for (uint64_t i = 0; i < book->next; i++) {
                n[book->fates[i]]++;
                missing[book->fates[i]] += !book->has_arrived[i];
        }
        printf("sums {\"topic\":\"%s\",\"published\":%llu,\"arrived\":%llu,\"stray\":%llu,"
               "\"kept\":%llu,\"uncertain\":%llu,\"dropped\":%llu",
                book->topic, (unsigned long long)book->next, (unsigned long long)book->n_arrived,
                (unsigned long long)book->n_stray, (unsigned long long)book->n_kept,
                (unsigned long long)book->uncertain, (unsigned long long)book->dropped);
        for (int i = 0; i < FATE_N_; i++)
                printf(",\"%s\":%llu,\"%s_missing\":%llu", names[i], (unsigned long long)n[i],
                        names[i], (unsigned long long)missing[i]);
        printf("}\n");
}

/* ---------------------------------------------------------------- the whole */

static baton *join(struct client *c, const char *address)
{
        struct baton_reconnect stay = {.keep_bytes = KEEP_BYTES, .on_event = on_event, .arg = c};
        baton *b;

        if (baton_new(&b) < 0)
                die("baton_new", "out of memory");
        if (baton_connect(b, address, -1) < 0)
                die("baton_connect", baton_error(b));
        if (baton_set_reconnect(b, &stay) < 0)
                die("baton_set_reconnect", baton_error(b));
        return b;
}

int main(int argc, char **argv)
{
        struct client *c = calloc(1, sizeof(*c));

        if (argc < 3 || !c)
                return 2;
        setvbuf(stdout, NULL, _IOLBF, 0);
        the_client = c;
        c->seed = (unsigned)strtoul(argv[2], NULL, 10);
        c->floods = argc > 3 && !strcmp(argv[3], "--flood");
        c->confirmed.topic = "confirmed";
        c->plain.topic = "plain";
        c->pub = join(c, argv[1]);
        c->sub = join(c, argv[1]);
        if (baton_subscribe(c->sub, c->plain.topic, NULL, on_message, c, NULL) < 0 ||
                baton_subscribe(c->sub, c->confirmed.topic, NULL, on_message, c, NULL) < 0)
                die("baton_subscribe", baton_error(c->sub));
        baton_set_nonblocking(c->pub, true);
        baton_set_nonblocking(c->sub, true);
        printf("begun\n");
        while (!c->stops) {
                publish_some(c);
                turn(c);
        }
        fence(c);
        say_sums(&c->confirmed);
        say_sums(&c->plain);
        baton_free(c->pub);
        baton_free(c->sub);
        free(c);
        return 0;
}
