/* Design note. Many handles in one poll loop, each with a subscription, all of which lose their
 * broker at once and come back to the next one at the same address. How often each had to try is
 * seen at the library's own calls of connect, which end here: this program has a function of that
 * name.
 *
 *      herd_client ADDRESS N
 *
 * Says on stdout: "begun"; "lost" when all have lost the broker; "tried K" when they have tried K
 * times each on the average; "connected" when there were as many connections; "back" and the sums
 * as JSON when all are ready again; "heard" each time when all have received a message. Ends with
 * its stdin. */
#include <baton.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct member {
        baton *b;
        unsigned n_lost, n_back, n_ready, n_heard;
        /* Since it was lost: how often nobody was there, the backlog was full, it connected. */
        unsigned n_absent, n_busy, n_connected;
};

struct herd {
        struct member *members; /* [n] */
        struct pollfd *pfds;    /* [n + 1]; the last is stdin */
        size_t n;
        size_t n_lost, n_tried, n_connected, n_ready, n_heard;
        unsigned n_wrong; /* events that should not be */
        unsigned long long last_ready_ns;
};

static struct herd the_herd;
static struct member *trying; /* the member whose handle is being processed; NULL: none */

static void count_try(struct member *m, bool is_connected, bool is_busy)
{
        struct herd *h = &the_herd;

        m->n_connected += is_connected;
        m->n_busy += is_busy;
        m->n_absent += !is_connected && !is_busy;
        if (++h->n_tried % h->n == 0)
                printf("tried %zu\n", h->n_tried / h->n);
        h->n_connected += is_connected;
        if (is_connected && h->n_connected == h->n)
                printf("connected\n");
}

/* The library's calls come here. */
int connect(int fd, const struct sockaddr *address, socklen_t len)
{
        int r = (int)syscall(SYS_connect, fd, address, len), error = errno;

        if (trying)
                count_try(trying, r == 0, r < 0 && error == EAGAIN);
        errno = error;
        return r;
}

static void die(const char *what, const char *why)
{
        fprintf(stderr, "herd_client: %s: %s\n", what, why);
        exit(1);
}

static unsigned long long now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (unsigned long long)ts.tv_sec * 1000000000u + (unsigned long long)ts.tv_nsec;
}

/* ---------------------------------------------------------------- callbacks */

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct member *member = arg;

        (void)b;
        (void)m;
        member->n_heard++;
        if (++the_herd.n_heard % the_herd.n == 0)
                printf("heard\n");
}

static unsigned larger(unsigned a, unsigned b)
{
        return a > b ? a : b;
}

static void say_back(const struct herd *h)
{
        unsigned n_busy = 0, most_absent = 0, most_busy = 0, most_connected = 0, n_once = 0;

        for (size_t i = 0; i < h->n; i++) {
                const struct member *m = &h->members[i];
                n_busy += m->n_busy;
                most_absent = larger(most_absent, m->n_absent);
                most_busy = larger(most_busy, m->n_busy);
                most_connected = larger(most_connected, m->n_connected);
                n_once += m->n_lost == 1 && m->n_back == 1 && m->n_ready == 1;
        }
        printf("back {\"once\":%u,\"wrong\":%u,\"last_ready_ns\":%llu,\"most_absent\":%u,"
               "\"busy\":%u,\"most_busy\":%u,\"most_connected\":%u}\n",
                n_once, h->n_wrong, h->last_ready_ns, most_absent, n_busy, most_busy,
                most_connected);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        struct member *m = arg;
        struct herd *h = &the_herd;

        (void)b;
        switch (e->change) {
        case BATON_LOST:
                m->n_lost++;
                if (++h->n_lost == h->n)
                        printf("lost\n");
                break;
        case BATON_BACK:
                m->n_back++;
                break;
        case BATON_READY:
                m->n_ready++;
                h->last_ready_ns = now_ns();
                if (++h->n_ready == h->n)
                        say_back(h);
                break;
        default:
                h->n_wrong++;
                fprintf(stderr, "herd_client: %s\n", e->text);
        }
}

/* ---------------------------------------------------------------- the loop */

static void process(struct member *m)
{
        trying = m;
        if (baton_process(m->b) < 0)
                die("baton_process", baton_error(m->b));
        trying = NULL;
}

/* Returns false when stdin has ended. */
static bool turn(struct herd *h)
{
        int ms = -1;

        for (size_t i = 0; i < h->n; i++) {
                const baton *b = h->members[i].b;
                int own_ms = baton_timeout(b);
                h->pfds[i] = (struct pollfd){.fd = baton_fd(b), .events = baton_events(b)};
                ms = own_ms >= 0 && (ms < 0 || own_ms < ms) ? own_ms : ms;
        }
        h->pfds[h->n] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(h->pfds, h->n + 1, ms) < 0 && errno != EINTR)
                die("poll", strerror(errno));
        for (size_t i = 0; i < h->n; i++) {
                if (h->pfds[i].revents || baton_timeout(h->members[i].b) == 0)
                        process(&h->members[i]);
        }
        return !h->pfds[h->n].revents;
}

static void join(struct member *m, const char *address)
{
        struct baton_reconnect stay = {.on_event = on_event, .arg = m};

        if (baton_new(&m->b) < 0)
                die("baton_new", "out of memory");
        if (baton_connect(m->b, address, -1) < 0 ||
                baton_subscribe(m->b, "herd", NULL, on_message, m, NULL) < 0 ||
                baton_set_reconnect(m->b, &stay) < 0)
                die(address, baton_error(m->b));
        baton_set_nonblocking(m->b, true);
}

/* A descriptor for each, and some more. */
static void raise_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                die("getrlimit", strerror(errno));
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                die("setrlimit", strerror(errno));
}

int main(int argc, char **argv)
{
        struct herd *h = &the_herd;

        if (argc != 3)
                return 2;
        setvbuf(stdout, NULL, _IOLBF, 0);
        raise_limit();
        h->n = strtoul(argv[2], NULL, 10);
        h->members = calloc(h->n, sizeof(*h->members));
        h->pfds = calloc(h->n + 1, sizeof(*h->pfds));
        if (!h->n || !h->members || !h->pfds)
                die(argv[2], "out of memory, or no number");
        for (size_t i = 0; i < h->n; i++)
                join(&h->members[i], argv[1]);
        printf("begun\n");
        while (turn(h))
                ;
        for (size_t i = 0; i < h->n; i++)
                baton_free(h->members[i].b);
        free(h->members);
        free(h->pfds);
        return 0;
}
