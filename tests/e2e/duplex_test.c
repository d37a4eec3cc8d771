/* Design note. Programs that consume and publish on one connection, against the real broker: the
 * case in which back-pressure in both directions could make everybody wait for everybody. Each
 * program is a process of its own; a dead-lock shows as the test's time-out, everything else as a
 * count. */
#include "tests/harness/test.h"

#include <baton.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAYLOAD_BYTES = 64, LONG_MS = 60000 };

struct broker {
        pid_t pid;
        char address[64];
        char file[64]; /* "": the address is no path */
};

/* As tests/e2e/harness.py: what kind of address is under test. */
static void choose_address(struct broker *broker)
{
        const char *kind = getenv("BATON_TEST_ADDRESS_KIND");

#ifdef BATON_PORTABLE
        kind = kind ? kind : "seqpacket";
#endif
        broker->file[0] = '\0';
        if (!kind || strcmp(kind, "abstract") == 0) {
                snprintf(broker->address, sizeof(broker->address), "@duplex-%d", getpid());
                return;
        }
        snprintf(broker->file, sizeof(broker->file), "/tmp/duplex-%d", getpid());
        snprintf(broker->address, sizeof(broker->address), "%s:%.48s", kind, broker->file);
}

/* Starts the broker and returns when it has said `ready`. */
static struct broker broker_start(void)
{
        struct broker broker;
        char line[256];
        int ends[2];

        choose_address(&broker);
        CHECK_EQ(pipe(ends), 0);
        broker.pid = fork();
        if (!broker.pid) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(ends[1], STDERR_FILENO);
                close(ends[0]);
                close(ends[1]);
                execl("broker/broker", "broker", "--listen", broker.address, NULL);
                _exit(127);
        }
        close(ends[1]);
        FILE *says = fdopen(ends[0], "r");
        do
                CHECK_PTR(fgets(line, sizeof(line), says));
        while (strcmp(line, "ready\n") != 0);
        fclose(says);
        return broker;
}

static void wait_for_exit(pid_t pid, int expected)
{
        int status;

        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), expected);
}

static void broker_stop(const struct broker *broker)
{
        char lock[80];

        kill(broker->pid, SIGTERM);
        wait_for_exit(broker->pid, 0);
        if (broker->file[0]) {
                snprintf(lock, sizeof(lock), "%s.lock", broker->file);
                CHECK_EQ(unlink(lock), 0);
        }
}

static baton *join(const char *address)
{
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, address, LONG_MS), 0);
        return b;
}

/* What a program counts: messages that carry their number, in order. */
struct tally {
        uint64_t next;
        const char *echo_to; /* NULL: none */
};

static void count(baton *b, const struct baton_message *m, void *arg)
{
        struct tally *t = arg;
        uint64_t number;

        CHECK_EQ(m->payload_len, PAYLOAD_BYTES);
        memcpy(&number, m->payload, sizeof(number));
        CHECK_EQ(number, t->next);
        t->next++;
        if (t->echo_to)
                CHECK_EQ(baton_publish(b, t->echo_to, m->payload, m->payload_len), 0);
}

static void publish_number(baton *b, const char *topic, uint64_t number)
{
        uint8_t payload[PAYLOAD_BYTES] = {0};

        memcpy(payload, &number, sizeof(number));
        CHECK_EQ(baton_publish(b, topic, payload, sizeof(payload)), 0);
}

static void wait_until(baton *b, const struct tally *t, uint64_t n)
{
        while (t->next < n)
                CHECK(baton_wait(b, LONG_MS) >= 0);
}

/* Consumes `in`, publishes every message to `out` from inside the callback, until it had `n`. */
static pid_t start_echo(const struct broker *broker, const char *in, const char *out, uint64_t n)
{
        int ends[2];
        char byte;

        CHECK_EQ(pipe(ends), 0);
        pid_t pid = fork();
        if (!pid) {
                baton *b = join(broker->address);
                struct tally t = {.echo_to = out};
                CHECK_EQ(baton_subscribe(b, in, NULL, count, &t, NULL), 0);
                CHECK_EQ(write(ends[1], "r", 1), 1);
                wait_until(b, &t, n);
                CHECK_EQ(baton_close(b, LONG_MS), 0);
                baton_free(b);
                _exit(0);
        }
        close(ends[1]);
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        close(ends[0]);
        return pid;
}

TEST(a_service_that_consumes_and_publishes_on_one_connection_never_deadlocks)
{
        enum { N = 200000 };
        struct broker broker = broker_start();
        pid_t service = start_echo(&broker, "svc.in", "svc.out", N);
        baton *b = join(broker.address);
        struct tally t = {0};

        CHECK_EQ(baton_subscribe(b, "svc.out", NULL, count, &t, NULL), 0);
        for (uint64_t i = 0; i < N; i++)
                publish_number(b, "svc.in", i); /* never dispatches: all echoes wait in the inbox */
        wait_until(b, &t, N);
        CHECK_EQ(baton_close(b, LONG_MS), 0);
        baton_free(b);
        wait_for_exit(service, 0);
        broker_stop(&broker);
}

TEST(two_programs_that_flood_each_other_through_services_finish)
{
        enum { N = 100000 };
        struct broker broker = broker_start();
        pid_t there = start_echo(&broker, "a.in", "b.in", N);
        pid_t back = start_echo(&broker, "b.in", "a.out", N);
        baton *b = join(broker.address);
        struct tally t = {0};

        CHECK_EQ(baton_subscribe(b, "a.out", NULL, count, &t, NULL), 0);
        for (uint64_t i = 0; i < N; i++) {
                publish_number(b, "a.in", i);
                if (i % 1000 == 0)
                        CHECK(baton_process(b) >= 0);
        }
        wait_until(b, &t, N);
        CHECK_EQ(baton_close(b, LONG_MS), 0);
        baton_free(b);
        wait_for_exit(there, 0);
        wait_for_exit(back, 0);
        broker_stop(&broker);
}

TEST(a_program_that_feeds_itself_and_never_dispatches_is_told_and_loses_nothing)
{
        struct broker broker = broker_start();
        baton *b = join(broker.address);
        struct tally t = {0};
        uint64_t n = 0;
        uint8_t payload[PAYLOAD_BYTES] = {0};
        int r = 0;

        baton_set_inbox(b, 1 << 20);
        CHECK_EQ(baton_subscribe(b, "loop", NULL, count, &t, NULL), 0);
        while (n < 1000000 && r == 0) {
                memcpy(payload, &n, sizeof(n));
                r = baton_publish(b, "loop", payload, sizeof(payload));
                n += r == 0;
        }
        CHECK_EQ(r, -ENOBUFS);
        wait_until(b, &t, n);
        publish_number(b, "loop", n);
        wait_until(b, &t, n + 1);
        CHECK_EQ(baton_close(b, LONG_MS), 0);
        baton_free(b);
        broker_stop(&broker);
}
