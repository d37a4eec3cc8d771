/* Design note. What is handed over rather than copied. The file has lost its name before anybody
 * hears of it, so nobody can open it, whoever he is: it can only be given. The large payload is
 * read to its last byte by who receives it before the clock is stopped. */
#include "client/cli/demo.h"
#include "proto/base/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_MS = 5000, LARGE_MIB = 64, LARGE_WORDS = LARGE_MIB << 17 };

static const char SECRET[] = "what only its owner could read";

/* ---------------------------------------------------------------- a file */

/* A file without a name. Returns its descriptor · -errno. */
static int make_file(void)
{
        const char *parent = getenv("TMPDIR");
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/baton-demo-XXXXXX",
                parent && *parent == '/' ? parent : "/tmp");
        int fd = mkstemp(path);
        if (fd < 0)
                return -errno;
        if (unlink(path) == 0 && write(fd, SECRET, sizeof(SECRET)) == sizeof(SECRET))
                return fd;
        int r = errno ? -errno : -EIO;
        close(fd);
        return r;
}

static int pass_file(struct demo *d, int out)
{
        int fd, status = cli_connect(&d->cli, CLI_CONNECT_MS);
        char inode[24];
        struct stat st;

        (void)out;
        if (status)
                return status;
        if ((fd = make_file()) < 0 || fstat(fd, &st) < 0)
                return cli_fail_about(&d->cli, fd < 0 ? fd : -errno, "a temporary file", NULL);
        struct baton_publication p = {
                .topic = "demo.file",
                .payload = inode,
                .payload_len =
                        (size_t)snprintf(inode, sizeof(inode), "%" PRIu64, (uint64_t)st.st_ino),
                .fds = &fd,
                .n_fds = 1,
        };
        int r = baton_publish_wait(d->cli.b, &p, STEP_MS);
        return r == 1 ? 0 : r < 0 ? cli_fail(&d->cli, r) : CLI_FAILED;
}

struct file_seen {
        bool has_come, is_right;
        char inode[24];
};

static void see_file(baton *b, const struct baton_message *m, void *arg)
{
        struct file_seen *s = arg;
        char inode[24], text[sizeof(SECRET)] = "";
        struct stat st;

        (void)b;
        s->has_come = true;
        if (m->n_fds != 1 || fstat(m->fds[0], &st) < 0 || st.st_nlink ||
                pread(m->fds[0], text, sizeof(text), 0) != sizeof(text))
                return;
        snprintf(s->inode, sizeof(s->inode), "%.*s", (int)m->payload_len, (const char *)m->payload);
        snprintf(inode, sizeof(inode), "%" PRIu64, (uint64_t)st.st_ino);
        s->is_right = !strcmp(inode, s->inode) && !memcmp(text, SECRET, sizeof(text));
}

/* Waits until `*flag`. Returns 0 · -ETIMEDOUT · -errno. */
static int await(baton *b, const bool *flag)
{
        uint64_t deadline_ns = cli_now_ns() + STEP_MS * UINT64_C(1000000);

        while (!*flag) {
                int r = baton_wait(b, cli_left_ms(deadline_ns, -1));
                if (r < 0)
                        return r;
                if (!*flag && cli_now_ns() >= deadline_ns)
                        return -ETIMEDOUT;
        }
        return 0;
}

int demo_file(struct demo *d)
{
        struct baton_subscription options = {.max_fds = 1};
        struct file_seen seen = {.has_come = false};
        struct part part;
        uint32_t sub;
        int r = baton_subscribe(d->cli.b, "demo.file", &options, see_file, &seen, &sub);

        if (r < 0)
                return cli_fail(&d->cli, r);
        int status = demo_fork(d, pass_file, &part);
        if (status)
                return status;
        r = await(d->cli.b, &seen.has_come);
        if (demo_join(&part) || r < 0 || !seen.is_right || baton_unsubscribe(d->cli.b, sub) < 0)
                return demo_fail(d, "file", "its descriptor did not come, or another");
        demo_tell("file", "inode %s, open in pid %d, without a name: handed over, read", seen.inode,
                (int)part.pid);
        return 0;
}

/* ---------------------------------------------------------------- a large payload */

struct large_seen {
        bool has_come, is_right;
};

static void see_large(baton *b, const struct baton_message *m, void *arg)
{
        const uint64_t *words = m->payload;
        struct large_seen *s = arg;
        uint64_t sum = 0;

        (void)b;
        s->has_come = true;
        if (m->payload_len != LARGE_WORDS * sizeof(*words) || (uintptr_t)words % sizeof(*words))
                return;
        for (uint64_t i = 0; i < LARGE_WORDS; i++)
                sum += words[i];
        s->is_right = sum == (uint64_t)LARGE_WORDS * (LARGE_WORDS - 1) / 2;
}

static int take_large(struct demo *d, int out)
{
        struct large_seen seen = {.has_come = false};
        int status = cli_connect(&d->cli, CLI_CONNECT_MS);

        if (status)
                return status;
        if (baton_subscribe(d->cli.b, "demo.large", NULL, see_large, &seen, NULL) < 0 ||
                write(out, "ready", 5) != 5 || await(d->cli.b, &seen.has_come) < 0)
                return CLI_FAILED;
        return seen.is_right && write(out, "all", 3) == 3 ? 0 : CLI_FAILED;
}

static int send_large(struct demo *d, const struct part *part)
{
        uint64_t *words = malloc(LARGE_WORDS * sizeof(*words));
        long before = sys_resident_kib(d->broker);
        char text[16];

        if (!words)
                return cli_fail_about(&d->cli, -ENOMEM, "large", NULL);
        for (uint64_t i = 0; i < LARGE_WORDS; i++)
                words[i] = i;
        uint64_t started_ns = cli_now_ns();
        int r = baton_publish(d->cli.b, "demo.large", words, LARGE_WORDS * sizeof(*words));
        if (r == 0) /* nothing is said to the library before it has arrived */
                r = baton_flush(d->cli.b, STEP_MS);
        bool is_right = r == 0 && demo_hear(part, text, sizeof(text)) && !strcmp(text, "all");
        uint64_t took_us = (cli_now_ns() - started_ns) / 1000;
        free(words);
        if (r < 0)
                return cli_fail(&d->cli, r);
        if (!is_right)
                return demo_fail(d, "large", "it did not come whole");
        uint64_t rate = ((uint64_t)LARGE_MIB << 20) / (took_us ? took_us : 1);
        long after = sys_resident_kib(d->broker);
        if (before < 0 || after < 0)
                demo_tell("large", "%d MiB, read in another process: %" PRIu64 " MB/s", LARGE_MIB,
                        rate);
        else
                demo_tell("large",
                        "%d MiB, read in another process: %" PRIu64
                        " MB/s; the broker grew by %ld KiB",
                        LARGE_MIB, rate, after > before ? after - before : 0);
        return 0;
}

int demo_large(struct demo *d)
{
        struct part part;
        char text[16];
        int status = demo_fork(d, take_large, &part);

        if (status)
                return status;
        if (!demo_hear(&part, text, sizeof(text)))
                return demo_fail(d, "large", "the subscriber did not start");
        status = send_large(d, &part);
        int joined = demo_join(&part);
        return status ? status : joined ? demo_fail(d, "large", "its receiver failed") : 0;
}
