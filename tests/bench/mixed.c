/* A workload beside the harness's own, for any peer: many publishers, each going round many topics
 * with payloads of random sizes, and one subscriber that gets it all. `mixed-NAME` is this file
 * and peer_NAME.c; docs/PERFORMANCE.md says how to build and run it.
 *
 * Each payload carries its publisher, its number among those of that publisher, and a fill that
 * follows from both: nothing may be lost, changed, or out of order. */
#define main harness_main
#include "harness.c"
#undef main

enum { N_TOPICS = 8, BYTES_MIN = 16, BYTES_MAX = 512, PUBLISHERS_MAX = 64, END = 1 };

struct mixed_head {
        uint64_t number;
        uint32_t publisher;
        uint32_t kind; /* END: `number` is how many there were */
};

/* The same sequence on both sides. */
static uint64_t mix(uint64_t x)
{
        x ^= x >> 30;
        x *= UINT64_C(0xbf58476d1ce4e5b9);
        x ^= x >> 27;
        x *= UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

static size_t size_of(uint64_t number, uint32_t publisher)
{
        return BYTES_MIN + mix(number << 8 | publisher) % (BYTES_MAX - BYTES_MIN + 1);
}

static void say(void *c, uint64_t number, uint32_t kind, size_t n, const unsigned char *fill)
{
        static char topics[N_TOPICS][32];
        unsigned char payload[BYTES_MAX];
        struct mixed_head head = {number, (uint32_t)id, kind};

        if (!topics[0][0]) {
                for (int i = 0; i < N_TOPICS; i++)
                        snprintf(topics[i], sizeof(topics[i]), "mixed.data.t%d", i);
        }
        memcpy(payload, &head, sizeof(head));
        memcpy(payload + sizeof(head), fill + number % 64, n - sizeof(head));
        if (peer.publish(c, topics[number % N_TOPICS], payload, n, -1) < 0)
                die("publish");
}

static void fill_in(unsigned char fill[BYTES_MAX + 64], uint32_t publisher)
{
        for (int i = 0; i < BYTES_MAX + 64; i++)
                fill[i] = (unsigned char)mix((uint64_t)i << 32 | publisher);
}

static int publish_mixed(void)
{
        unsigned char fill[BYTES_MAX + 64];
        uint64_t sent = 0, stalls = 0;

        fill_in(fill, (uint32_t)id);
        if (winfile) {
                win_open(winfile, PUBLISHERS_MAX);
                slots += id; /* its own */
                nslots = 1;
        }
        void *c = peer.connect(addr, R_PUB);
        if (!c)
                die("connect");
        if (peer.sync)
                peer.sync(c);
        ready();
        wait_line();
        uint64_t cpu = cpu_ns(), start = now_ns(), stop = start + (uint64_t)dur_ms * 1000000;
        while (sent & 15 || now_ns() < stop) {
                if (window && sent - atomic_load(&slots->count) >= window) {
                        if (peer.flush)
                                peer.flush(c);
                        if (win_wait(sent, window, &stalls))
                                die("no progress");
                }
                say(c, sent, 0, size_of(sent, (uint32_t)id), fill);
                sent++;
        }
        say(c, sent, END, BYTES_MIN, fill);
        if (peer.flush)
                peer.flush(c);
        if (peer.sync)
                peer.sync(c);
        printf("{\"sent\":%lu,\"start\":%lu,\"cpu\":%lu}\n", sent, start, cpu_ns() - cpu);
        fflush(stdout);
        wait_eof();
        return 0;
}

struct mixed {
        uint64_t received, bad, next[PUBLISHERS_MAX];
        int n_ended;
        unsigned char fills[PUBLISHERS_MAX][BYTES_MAX + 64];
};

static void on_mixed(void *arg, const void *data, size_t len, int fd)
{
        struct mixed *s = arg;
        struct mixed_head head;

        (void)fd;
        if (len < sizeof(head)) {
                s->bad++;
                return;
        }
        memcpy(&head, data, sizeof(head));
        if (head.publisher >= PUBLISHERS_MAX || head.number != s->next[head.publisher]) {
                s->bad++;
                return;
        }
        if (head.kind == END) {
                s->n_ended++;
                return;
        }
        s->next[head.publisher]++;
        s->received++;
        s->bad += len != size_of(head.number, head.publisher) ||
                  memcmp((const char *)data + sizeof(head),
                          s->fills[head.publisher] + head.number % 64, len - sizeof(head));
        if (slots && !(s->next[head.publisher] & 31))
                win_store(&slots[head.publisher], s->next[head.publisher]);
}

static int subscribe_mixed(void)
{
        static struct mixed s;
        uint64_t last = 0, begin = 0;

        for (uint32_t i = 0; i < PUBLISHERS_MAX; i++)
                fill_in(s.fills[i], i);
        if (winfile)
                win_open(winfile, PUBLISHERS_MAX);
        void *c = peer.connect(addr, R_SUB);
        if (!c || peer.subscribe(c, topic) < 0)
                die("subscribe");
        if (peer.sync)
                peer.sync(c);
        ready();
        uint64_t cpu = cpu_ns();
        for (begin = now_ns(); s.n_ended < nsubs && now_ns() - begin < 60000000000ull;) {
                uint64_t before = s.received;
                if (peer.dispatch(c, 1000, on_mixed, &s) < 0)
                        break;
                if (s.received == before)
                        continue;
                last = now_ns();
                for (int i = 0; slots && i < nsubs; i++)
                        win_store(&slots[i], s.next[i]);
        }
        printf("{\"recv\":%lu,\"bad\":%lu,\"ended\":%d,\"last\":%lu,\"cpu\":%lu}\n", s.received,
                s.bad, s.n_ended, last, cpu_ns() - cpu);
        fflush(stdout);
        wait_eof();
        return 0;
}

/* `-S`: how many publishers; `-i`: which of them. Everything else is the harness's. */
int main(int argc, char **argv)
{
        int o;

        if (argc < 2 || (strcmp(argv[1], "mpub") != 0 && strcmp(argv[1], "msub") != 0))
                return harness_main(argc, argv);
        optind = 2;
        while ((o = getopt(argc, argv, "a:t:d:w:W:S:i:")) != -1) {
                switch (o) {
                case 'a':
                        addr = optarg;
                        break;
                case 't':
                        topic = optarg;
                        break;
                case 'd':
                        dur_ms = atoi(optarg);
                        break;
                case 'w':
                        window = strtoull(optarg, 0, 0);
                        break;
                case 'W':
                        winfile = optarg;
                        break;
                case 'S':
                        nsubs = atoi(optarg);
                        break;
                case 'i':
                        id = atoi(optarg);
                        break;
                default:
                        return 2;
                }
        }
        return !strcmp(argv[1], "mpub") ? publish_mixed() : subscribe_mixed();
}
