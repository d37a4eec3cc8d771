/* Design note. The broker of the tour must not outlive it, whatever happens to the tour: the kernel
 * kills it when its parent dies, where it can. Its stderr is a pipe: the line `ready` says that it
 * may be used. */
#include "client/cli/demo.h"

#include "proto/base/sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_MS = 10000, STOP_MS = 10000, TEXT_BYTES = 4096 };

/* ---------------------------------------------------------------- finding it */

static bool is_program(struct demo *d, const char *format, ...) BT_PRINTF(2, 3);
static bool is_program(struct demo *d, const char *format, ...)
{
        char path[PATH_MAX];
        struct stat st;
        va_list args;

        va_start(args, format);
        int n = vsnprintf(path, sizeof(path), format, args);
        va_end(args);
        /* Absolute, since the directory may be changed later. */
        return n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
               access(path, X_OK) == 0 && realpath(path, d->broker_path);
}

static bool is_beside(struct demo *d, const char *program)
{
        char own[PATH_MAX];
        const char *runfiles = getenv("RUNFILES_DIR");
        bool is_path = program && strchr(program, '/');

        if (runfiles && is_program(d, "%s/baton/broker/broker", runfiles))
                return true;
        if (is_path && is_program(d, "%s.runfiles/baton/broker/broker", program))
                return true;
        if (sys_own_path(sizeof(own), own) < 0 && !(is_path && realpath(program, own)))
                return false;
        if (is_program(d, "%s.runfiles/baton/broker/broker", own))
                return true;
        *strrchr(own, '/') = '\0';
        return is_program(d, "%s/broker", own) || is_program(d, "%s/baton-broker", own);
}

static bool is_in_path(struct demo *d, const char *name)
{
        const char *path = getenv("PATH");

        while (path && *path) {
                size_t len = strcspn(path, ":");
                if (len && is_program(d, "%.*s/%s", (int)len, path, name))
                        return true;
                path += len + (path[len] == ':');
        }
        return false;
}

bool demo_find_broker(struct demo *d, const char *program)
{
        const char *named = getenv("BATON_BROKER");

        if (named)
                return is_program(d, "%s", named);
        return is_beside(d, program) || is_in_path(d, "baton-broker") || is_in_path(d, "broker");
}

/* ---------------------------------------------------------------- running it */

static _Noreturn void exec_broker(const struct demo *d, int says, pid_t parent)
{
        sys_die_with_parent();
        if (getppid() == parent && dup2(says, STDERR_FILENO) >= 0)
                execl(d->broker_path, "broker", "--listen", d->address, (char *)NULL);
        _exit(127);
}

/* Reads until the line `ready`. Keeps in `text` what came. */
static bool hear_ready(const struct demo *d, char text[TEXT_BYTES])
{
        uint64_t deadline_ns = cli_now_ns() + READY_MS * UINT64_C(1000000);
        struct pollfd pfd = {.fd = d->broker_says, .events = POLLIN};
        size_t len = 0;

        text[0] = '\0';
        while (!strstr(text, "ready\n") && len + 1 < TEXT_BYTES) {
                if (poll(&pfd, 1, cli_left_ms(deadline_ns, -1)) <= 0)
                        return false;
                ssize_t n = read(d->broker_says, text + len, TEXT_BYTES - 1 - len);
                if (n <= 0)
                        return false;
                len += (size_t)n;
                text[len] = '\0';
        }
        return true;
}

/* The directory is ours alone, so nobody else can have put a socket there. */
static int choose_address(struct demo *d)
{
        const char *parent = getenv("TMPDIR");

        if (sys_has_abstract()) {
                snprintf(d->address, sizeof(d->address), "@baton-demo-%d", (int)getpid());
                return 0;
        }
        snprintf(d->dir, sizeof(d->dir), "%s/baton-demo-XXXXXX",
                parent && *parent == '/' ? parent : "/tmp");
        if (!mkdtemp(d->dir)) {
                int r = cli_fail_about(&d->cli, -errno, d->dir, NULL);
                d->dir[0] = '\0';
                return r;
        }
        snprintf(d->address, sizeof(d->address), "%s/broker", d->dir);
        return 0;
}

int demo_start_broker(struct demo *d)
{
        char text[TEXT_BYTES];
        pid_t parent = getpid();
        int fds[2];
        int r = choose_address(d);

        if (r)
                return r;
        if ((r = sys_pipe(false, fds)) < 0)
                return cli_fail_about(&d->cli, r, "pipe", NULL);
        d->broker_says = fds[0];
        pid_t pid = fork();
        if (pid == 0)
                exec_broker(d, fds[1], parent);
        close(fds[1]);
        if (pid < 0)
                return cli_fail_about(&d->cli, -errno, "fork", NULL);
        d->broker = pid;
        if (hear_ready(d, text))
                return 0;
        return cli_fail_about(&d->cli, -EIO, d->broker_path, *text ? text : "did not start");
}

/* Waits for the broker's end. Returns its status as waitpid has it, -1 if it does not come. */
static int await_end(const struct demo *d)
{
        uint64_t deadline_ns = cli_now_ns() + STOP_MS * UINT64_C(1000000);
        struct pollfd pfd = {.fd = d->broker_says, .events = POLLIN};
        char text[TEXT_BYTES];
        int status;

        /* Its stderr is closed when it is gone. */
        while (poll(&pfd, 1, cli_left_ms(deadline_ns, -1)) > 0) {
                if (read(d->broker_says, text, sizeof(text)) <= 0)
                        return waitpid(d->broker, &status, 0) == d->broker ? status : -1;
        }
        return -1;
}

int demo_stop_broker(struct demo *d)
{
        kill(d->broker, SIGTERM);
        int status = await_end(d);
        if (status < 0)
                return demo_fail(d, "end", "the broker does not stop");
        d->broker = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status))
                return demo_fail(d, "end", "the broker did not exit with 0");
        return 0;
}

/* The broker leaves its lock file, and its socket too if it was killed. */
static void remove_directory(struct demo *d)
{
        char path[PATH_MAX];

        if (!d->dir[0])
                return;
        snprintf(path, sizeof(path), "%s/broker", d->dir);
        unlink(path);
        snprintf(path, sizeof(path), "%s/broker.lock", d->dir);
        unlink(path);
        rmdir(d->dir);
        d->dir[0] = '\0';
}

void demo_kill_broker(struct demo *d)
{
        if (d->broker) {
                kill(d->broker, SIGKILL);
                waitpid(d->broker, NULL, 0);
        }
        if (d->broker_says >= 0)
                close(d->broker_says);
        d->broker = 0;
        d->broker_says = -1;
        remove_directory(d);
}
