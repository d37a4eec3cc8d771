/* One that takes whatever it can get, in one way:
 *
 *      attacker ADDRESS MODE UID
 *
 * as another uid, until it is killed. Prints a line when it has begun.
 *
 * Design note. Most attacks are what the library lets anybody do, as fast as it can; a client of
 * one's own could do no worse, since it is the broker that gives out windows. What the library
 * would not do (connect without a word, subscribe and not read) is done on a socket. `spin` attacks
 * nobody and uses a processor: what is left of the others' speed then is what this machine has for
 * them. */
#include "client/baton.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SESSIONS = 32, PATIENCE_MS = 10000, WELCOME = 2 };

static const char *address;

static void say_ready(void)
{
        static int is_said;

        if (!is_said++ && write(STDOUT_FILENO, "\n", 1) != 1)
                exit(1);
}

static void must(int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "attacker: %s: %s\n", what, baton_strerror(r));
        exit(1);
}

static baton *join(void)
{
        baton *b;

        must(baton_new(&b), "new");
        must(baton_connect(b, address, PATIENCE_MS), "connect");
        baton_set_log(b, NULL, NULL);
        return b;
}

/* ------------------------------------------------------------ with the library */

static void flood(const char *const *topics, size_t n_topics, size_t len, size_t n_sessions)
{
        static const char payload[65536];
        baton *all[SESSIONS];

        for (size_t i = 0; i < n_sessions; i++) {
                all[i] = join();
                baton_cork(all[i]);
        }
        say_ready();
        for (size_t i = 0;; i++)
                must(baton_publish(
                             all[i % n_sessions], topics[i / n_sessions % n_topics], payload, len),
                        "publish");
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)m, (void)arg;
}

static void attack_churn(void)
{
        baton *b = join();
        uint32_t sub;

        say_ready();
        for (;;) {
                must(baton_subscribe(b, "attack.*", NULL, on_message, NULL, &sub), "subscribe");
                must(baton_unsubscribe(b, sub), "unsubscribe");
        }
}

static void attack_requests(void)
{
        struct baton_publication p = {.topic = "attack.nobody"};
        baton *b = join();

        say_ready();
        for (;;) {
                int r = baton_request_start(b, &p, 1000, NULL, NULL, NULL, NULL);
                if (r == -ENOBUFS || r == 0)
                        must(baton_process(b), "process");
                else
                        must(r, "request");
        }
}

static void attack_retained(void)
{
        struct baton_publication p = {.flags = BATON_RETAIN};
        char topic[64];
        baton *b = join();

        baton_cork(b);
        say_ready();
        for (unsigned i = 0;; i++) {
                snprintf(topic, sizeof(topic), "attack.r%u", i % 2000);
                p.topic = topic;
                p.payload = topic;
                p.payload_len = i % 60;
                must(baton_publish_with(b, &p), "publish");
        }
}

static void attack_fds(void)
{
        struct baton_publication p = {.topic = "attack.fds"};
        baton *b = join();
        int ends[2];

        if (pipe(ends) < 0)
                exit(1);
        p.fds = ends;
        p.n_fds = 2;
        say_ready();
        for (;;)
                must(baton_publish_with(b, &p), "publish");
}

static void attack_large(void)
{
        static const char payload[1 << 20];
        baton *b = join();

        baton_set_large(b, SIZE_MAX);
        say_ready();
        for (;;)
                must(baton_publish(b, "attack.large", payload, sizeof(payload)), "publish");
}

static void attack_connect(void)
{
        for (;;) {
                baton *b;
                must(baton_new(&b), "new");
                (void)!baton_connect(b, address, PATIENCE_MS);
                say_ready();
                baton_free(b);
        }
}

/* -------------------------------------------------------------- on a socket */

static int open_socket(void)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        size_t len = strlen(address);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        memcpy(to.sun_path + 1, address + 1, len - 1);
        if (fd < 0)
                exit(1);
        while (connect(fd, (void *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) <
                0) {
                if (errno != EAGAIN)
                        exit(1);
        }
        return fd;
}

/* Who attacked before may have used up this uid's rate of connections: then it waits. */
static int greet(void)
{
        static const char hello[] = "\x95\x01\x01\xa1x\x00\x80";
        char reply[65536];

        for (int tries = 0; tries < 100; tries++) {
                int fd = open_socket();
                if (send(fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL) > 0 &&
                        recv(fd, reply, sizeof(reply), 0) > 1 && reply[1] == WELCOME)
                        return fd;
                close(fd);
                usleep(100000);
        }
        exit(1);
}

static void attack_silent(void)
{
        for (int i = 0; i < 15; i++)
                (void)!open_socket();
        say_ready();
        for (;;)
                close(open_socket());
}

static void attack_deaf(void)
{
        static const char sub[] = "\x94\x09\x01\x01\xa8victim.>";

        for (int i = 0; i < SESSIONS; i++) {
                int fd = greet();
                if (send(fd, sub, sizeof(sub) - 1, MSG_NOSIGNAL) < 0)
                        exit(1);
        }
        say_ready();
        for (;;)
                pause();
}

static void attack_ping(void)
{
        char packet[60000], reply[65536];
        int fd = greet();

        for (size_t i = 0; i < sizeof(packet); i += 3)
                memcpy(packet + i, "\x92\x05\x01", 3);
        say_ready();
        for (;;) {
                if (send(fd, packet, sizeof(packet), MSG_NOSIGNAL) < 0)
                        exit(1);
                for (size_t left = sizeof(packet); left;) {
                        ssize_t n = recv(fd, reply, sizeof(reply), 0);
                        if (n <= 0)
                                exit(1);
                        left -= (size_t)n < left ? (size_t)n : left;
                }
        }
}

static void attack_spin(void)
{
        say_ready();
        for (;;)
                __asm__ volatile("");
}

static void attack_flood(void)
{
        static const char *const topics[] = {"attack.flood"};

        flood(topics, 1, 64, 1);
}

static void attack_tiny(void)
{
        static const char *const topics[] = {"attack.x", "attack.y"};

        flood(topics, 2, 1, 1);
}

static void attack_big(void)
{
        static const char *const topics[] = {"attack.big"};

        flood(topics, 1, 60000, 1);
}

static void attack_many(void)
{
        static const char *const topics[] = {"attack.x", "attack.y"};

        flood(topics, 2, 1, SESSIONS);
}

int main(int argc, char **argv)
{
        static const struct {
                const char *name;
                void (*run)(void);
        } modes[] = {{"spin", attack_spin}, {"flood", attack_flood}, {"tiny", attack_tiny},
                {"big", attack_big}, {"many", attack_many}, {"churn", attack_churn},
                {"requests", attack_requests}, {"retained", attack_retained}, {"fds", attack_fds},
                {"large", attack_large}, {"connect", attack_connect}, {"silent", attack_silent},
                {"deaf", attack_deaf}, {"ping", attack_ping}};
        uid_t uid = argc == 4 ? (uid_t)strtoul(argv[3], NULL, 10) : 0;

        if (argc != 4 || (uid && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)))
                return 2;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        address = argv[1];
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
                if (!strcmp(modes[i].name, argv[2]))
                        modes[i].run();
        }
        return 2;
}
