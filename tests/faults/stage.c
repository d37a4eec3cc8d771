/* Design note. The broker is a fork that runs the shell's server_run, so that the wrappers are in
 * front of it; it keeps its log in a pipe, which is read when something has gone wrong. */
#include "tests/faults/stage.h"

#include "broker/options.h"
#include "broker/server.h"
#include "tests/harness/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void stage_fail(struct stage *s, const char *why)
{
        if (!s->wrong)
                s->wrong = why;
}

static void become_broker(const struct stage *s, int err, int client)
{
        char number[12];
        const char *const argv[] = {
                "broker",
                "--listen",
                s->addresses[0],
                "--listen",
                s->addresses[1],
                "--listen",
                s->addresses[2],
                "--client-fd",
                number,
                /* Few: what is not needed need not be prepared. */
                "--limit",
                "sessions=64",
                "--limit",
                "unready=16",
                "--limit",
                "held_fds=64",
                NULL,
        };
        struct options options;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(number, sizeof(number), "%d", client);
        dup2(err, STDERR_FILENO);
        fault_enter();
        if (options_parse((int)ARRAY_LEN(argv) - 1, (char **)argv, &options))
                _exit(2);
        exit(server_run(&options));
}

/* What the broker says, up to `ready`. */
static void wait_until_ready(struct stage *s)
{
        char line[1024];
        size_t n = 0;

        for (;;) {
                CHECK_EQ(read(s->says, line + n, 1), 1);
                if (line[n] != '\n') {
                        n += n < sizeof(line) - 1;
                        continue;
                }
                line[n] = '\0';
                if (strcmp(line, "ready") == 0)
                        return;
                n = 0;
        }
}

static void start_broker(struct stage *s)
{
        int ends[2], pair[2];

        CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
        CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fflush(NULL);
        s->broker = fork();
        CHECK(s->broker >= 0);
        if (!s->broker) {
                close(ends[0]);
                close(pair[0]);
                become_broker(s, ends[1], pair[1]);
        }
        close(ends[1]);
        close(pair[1]);
        s->says = ends[0];
        s->adopted = pair[0];
        wait_until_ready(s);
}

static void count(baton *b, const struct baton_message *m, void *arg)
{
        struct stage *s = arg;

        (void)b;
        if (m->payload_len != sizeof(s->n_got) || memcmp(m->payload, &s->n_got, m->payload_len))
                stage_fail(s, "a bystander got another message than was sent");
        s->n_got++;
}

static baton *join(const char *address)
{
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, address, LONG_MS), 0);
        return b;
}

/* Returns how many descriptors the broker has open. */
static size_t count_fds(const struct stage *s)
{
        char path[64];
        size_t n = 0;

        snprintf(path, sizeof(path), "/proc/%d/fd", s->broker);
        DIR *dir = opendir(path);
        while (dir && readdir(dir))
                n++;
        if (dir)
                closedir(dir);
        return n;
}

void stage_open(struct stage *s)
{
        static unsigned n;
        static long stamp; /* sandboxes may share /tmp, and number their processes alike */
        struct timespec now;

        *s = (struct stage){.broker = -1};
        if (!stamp && clock_gettime(CLOCK_REALTIME, &now) == 0)
                stamp = now.tv_sec % 1000000 * 1000000000 + now.tv_nsec;
        snprintf(s->addresses[0], sizeof(s->addresses[0]), "@faults-%d-%u", getpid(), ++n);
        snprintf(s->addresses[1], sizeof(s->addresses[1]), "stream:/tmp/faults-%ld", stamp);
        snprintf(s->addresses[2], sizeof(s->addresses[2]), "dgram:/tmp/faults-%ld.d", stamp);
        fault_reset();
        start_broker(s);
        fault_control->is_marking = true;
        s->from = join(s->addresses[0]);
        s->to = join(s->addresses[0]);
        CHECK_EQ(baton_subscribe(s->to, "by.stander", NULL, count, s, NULL), 0);
        stage_turn(s);
        fault_control->is_marking = false;
        s->n_fds = count_fds(s) - 1; /* the adopted one leaves too */
}

void stage_turn(struct stage *s)
{
        struct baton_publication p = {
                .topic = "by.stander", .payload = &s->n_sent, .payload_len = sizeof(s->n_sent)};

        if (s->wrong)
                return;
        int r = baton_publish_wait(s->from, &p, LONG_MS);
        if (r < 1) {
                stage_fail(s, r == -ETIMEDOUT ? "the broker hangs"
                              : r == 0        ? "a bystander's message found no subscriber"
                                              : "a bystander could not publish");
                return;
        }
        s->n_sent++;
        while (s->n_got < s->n_sent && !s->wrong) {
                r = baton_wait(s->to, LONG_MS);
                if (r == 0 && s->n_got < s->n_sent)
                        stage_fail(s, "a bystander's message did not come");
                else if (r < 0)
                        stage_fail(s, "a bystander was cut off");
        }
}

static uint64_t now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void hear(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)m, (void)arg;
}

/* A client that comes now finds a broker that works. */
static void check_newcomer(struct stage *s)
{
        baton *b;
        struct baton_publication p = {.topic = "new.comer", .payload = "x", .payload_len = 1};

        CHECK_EQ(baton_new(&b), 0);
        if (baton_connect(b, s->addresses[0], LONG_MS) < 0)
                stage_fail(s, "nobody can connect any more");
        else if (baton_subscribe(b, "new.comer", NULL, hear, NULL, NULL) < 0 ||
                 baton_publish_wait(b, &p, LONG_MS) != 1 || baton_close(b, LONG_MS) < 0)
                stage_fail(s, "a newcomer is not served");
        baton_free(b);
}

static void check_fds(struct stage *s)
{
        uint64_t until = now_ms() + LONG_MS;

        while (!s->wrong && count_fds(s) != s->n_fds) {
                stage_turn(s);
                if (now_ms() > until)
                        stage_fail(s, count_fds(s) > s->n_fds ? "descriptors leak"
                                                              : "descriptors are missing");
        }
}

/* Passes on what the broker has said. */
static void pass_on(struct stage *s)
{
        char text[4096];
        struct pollfd p = {.fd = s->says, .events = POLLIN};

        while (poll(&p, 1, 0) == 1) {
                ssize_t n = read(s->says, text, sizeof(text));
                if (n <= 0)
                        return;
                (void)!write(STDERR_FILENO, text, (size_t)n);
        }
}

/* A broker that hangs is killed. */
static void end_broker(struct stage *s)
{
        int status;

        kill(s->broker, s->wrong ? SIGABRT : SIGTERM);
        if (waitpid(s->broker, &status, 0) != s->broker)
                stage_fail(s, "it is not there");
        if (!s->wrong && WIFSIGNALED(status))
                stage_fail(s, "the broker died of a signal");
        else if (!s->wrong && WEXITSTATUS(status))
                stage_fail(s, "the broker did not end with 0");
        if (fault_control->broken[0])
                stage_fail(s, fault_control->broken);
        if (s->wrong)
                pass_on(s);
        close(s->says);
}

/* What a broker leaves behind: locks are for ever. */
static void remove_locks(const struct stage *s)
{
        char lock[sizeof(s->addresses[0]) + 8];

        for (size_t i = 1; i < ARRAY_LEN(s->addresses); i++) {
                snprintf(lock, sizeof(lock), "%s.lock", strchr(s->addresses[i], '/'));
                (void)unlink(lock);
        }
}

void stage_close(struct stage *s)
{
        int status;

        stage_turn(s);
        if (!s->wrong)
                check_newcomer(s);
        check_fds(s);
        if (waitpid(s->broker, &status, WNOHANG) == s->broker) {
                s->is_dead = true;
                s->wrong = "THE BROKER DIED";
                pass_on(s);
                close(s->says);
        } else {
                end_broker(s);
        }
        baton_free(s->from);
        baton_free(s->to);
        remove_locks(s);
        sem_destroy(&fault_control->go_on);
}

enum { SPIN_MS = 20 };

static void watch_spin(struct stage *s)
{
        const unsigned *n = &fault_control->n_calls[SYMBOL_EPOLL_WAIT];
        unsigned before = __atomic_load_n(n, __ATOMIC_RELAXED);

        if (s->wrong)
                return;
        if (baton_wait(s->to, SPIN_MS) < 0)
                stage_fail(s, "a bystander was cut off");
        s->n_awake = __atomic_load_n(n, __ATOMIC_RELAXED) - before;
}

void stage_await_threads(struct stage *s, unsigned n)
{
        const unsigned *so_far = &fault_control->n_calls[SYMBOL_PTHREAD_CREATE];
        uint64_t until = now_ms() + LONG_MS;

        while (!s->wrong && __atomic_load_n(so_far, __ATOMIC_RELAXED) < n) {
                stage_turn(s);
                if (now_ms() > until)
                        stage_fail(s, "nobody sees that a close hangs");
        }
}

void stage_run(struct stage *s, const struct fault *faults, size_t n, int extras)
{
        stage_open(s);
        s->has_hanging = extras & STAGE_HANG;
        fault_arm(faults, n);
        actors_play(s);
        if (extras & STAGE_SPIN)
                watch_spin(s);
        fault_heal();
        actors_end(s);
        stage_close(s);
}
