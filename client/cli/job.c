/* Design note. Both pipes are non-blocking on our side: a command that does not read its stdin, or
 * never stops writing, holds up nobody but itself. It is over when it has exited, not when its
 * stdout is closed: something that it left running in the background may hold that open. A large
 * payload stays in the memory that it came in, a large reply goes to a memory file.
 *
 * A descriptor of a file shares its offset with everybody who has it. So the command gets files
 * opened anew, at their beginning, or, where the system cannot do that, wound back. */
#include "client/cli/job.h"

#include "client/cli/common.h"
#include "client/cli/signals.h"
#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        FIRST_FD = 3,
        PIECE_BYTES = 65536,
        /* Pieces of one turn: others want theirs. As much as a pipe can hold, so that what a
         * command left in its stdout is read at once. */
        PIECES_PER_TURN = 16,
        NOT_STARTED = 127,
};

static void close_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static void close_fds(struct job *j)
{
        for (size_t i = 0; i < j->n_fds; i++)
                close(j->fds[i]);
        j->n_fds = 0;
}

struct job *job_free(struct job *j)
{
        if (!j)
                return NULL;
        list_remove(&j->link);
        close_fd(&j->in);
        close_fd(&j->out);
        close_fds(j);
        baton_drop_payload(&j->payload);
        spool_deinit(&j->reply);
        free(j);
        return NULL;
}

static int keep_fds(struct job *j, const struct baton_message *m)
{
        for (uint32_t i = 0; i < m->n_fds && i < ARRAY_LEN(j->fds); i++) {
                int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, FIRST_FD);
                if (fd < 0)
                        return -errno;
                j->fds[j->n_fds++] = fd;
        }
        return 0;
}

int job_new(const struct baton_message *m, size_t longest_reply, struct job **ret_job)
{
        struct job *j = calloc(1, sizeof(*j));

        if (!j)
                return -ENOMEM;
        list_init(&j->link);
        j->in = j->out = -1;
        j->token = m->token;
        j->sender = m->sender;
        j->longest_reply = longest_reply;
        snprintf(j->topic, sizeof(j->topic), "%s", m->topic);
        int r = baton_take_payload(m, &j->payload);
        if (r == 0)
                r = keep_fds(j, m);
        if (r < 0)
                job_free(j);
        else
                *ret_job = j;
        return r;
}

void job_fail(struct job *j, const char *format, ...)
{
        char text[WIRE_TEXT_BYTES];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        j->has_failed = true;
        j->echoes = false;
        spool_deinit(&j->reply);
        if (spool_append(&j->reply, text, strlen(text)) < 0)
                spool_deinit(&j->reply); /* then without a reason */
}

int job_answer(struct job *j, const void **ret_data, size_t *ret_len)
{
        *ret_len = j->echoes ? j->payload.len : j->reply.len;
        if (!j->echoes)
                return spool_data(&j->reply, ret_data);
        *ret_data = j->payload.data;
        return 0;
}

/* ---------------------------------------------------------------- the child */

static int export_number(const char *name, uint64_t value)
{
        char text[24];

        snprintf(text, sizeof(text), "%" PRIu64, value);
        return setenv(name, text, 1);
}

/* Before fork: a child may not allocate. $BATON_FD, by which we may have been connected, is not
 * open in the command, or means another there. */
static int export_request(const struct job *j)
{
        if (setenv("BATON_TOPIC", j->topic, 1) < 0 ||
                export_number("BATON_SENDER_SESSION", j->sender.session) < 0 ||
                export_number("BATON_SENDER_PID", (uint64_t)j->sender.pid) < 0 ||
                export_number("BATON_SENDER_UID", j->sender.uid) < 0 ||
                export_number("BATON_SENDER_GID", j->sender.gid) < 0 ||
                export_number("BATON_FDS", j->n_fds) < 0 || unsetenv("BATON_FD") < 0)
                return -errno;
        return 0;
}

/* A file with an offset of its own; anything else as it is. */
static int rewound(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return fd;
        int opened = sys_reopen(fd);
        if (opened >= 0)
                return opened;
        (void)lseek(fd, 0, SEEK_SET);
        return fd;
}

/* Everything is first moved out of the way of the numbers that are wanted. */
static int arrange_fds(const struct job *j, int in, int out)
{
        int first_free = FIRST_FD + (int)j->n_fds, moved[WIRE_FDS + 2];
        size_t n = 0;

        moved[n++] = fcntl(in, F_DUPFD_CLOEXEC, first_free);
        moved[n++] = fcntl(out, F_DUPFD_CLOEXEC, first_free);
        for (size_t i = 0; i < j->n_fds; i++)
                moved[n++] = fcntl(rewound(j->fds[i]), F_DUPFD_CLOEXEC, first_free);
        for (size_t i = 0; i < n; i++) {
                int wanted = i < 2 ? (int)i : FIRST_FD + (int)i - 2;
                if (moved[i] < 0 || dup2(moved[i], wanted) < 0)
                        return -errno;
        }
        closefrom(first_free); /* what we inherited may not be close-on-exec */
        return 0;
}

static _Noreturn void run_child(const struct job *j, int in, int out, char *const *argv)
{
        const struct cli cli = {.tool = "serve"};

        signals_reset();
        int r = arrange_fds(j, in, out);
        if (r == 0) {
                execvp(argv[0], argv);
                r = -errno;
        }
        cli_fail_about(&cli, r, argv[0], NULL);
        _exit(NOT_STARTED);
}

static int make_pipe(int *ret_ours, int *ret_theirs, bool ours_writes)
{
        int fds[2];
        int r = sys_pipe(false, fds);

        if (r < 0)
                return r;
        *ret_ours = fds[ours_writes];
        *ret_theirs = fds[!ours_writes];
        return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int job_start(struct job *j, char *const *argv)
{
        int in = -1, out = -1;
        int r = export_request(j);

        if (r == 0)
                r = make_pipe(&j->in, &in, true);
        if (r == 0)
                r = make_pipe(&j->out, &out, false);
        if (r == 0) {
                pid_t pid = fork();
                if (pid == 0)
                        run_child(j, in, out, argv);
                j->pid = pid > 0 ? pid : 0;
                r = pid < 0 ? -errno : 0;
        }
        close_fd(&in);
        close_fd(&out);
        close_fds(j);
        return r;
}

/* ---------------------------------------------------------------- its pipes */

void job_poll(const struct job *j, struct pollfd ret_pfds[2])
{
        ret_pfds[0] = (struct pollfd){.fd = j->in, .events = POLLOUT};
        ret_pfds[1] = (struct pollfd){.fd = j->out, .events = POLLIN};
}

/* The command has it, or does not want it. */
static void end_input(struct job *j)
{
        close_fd(&j->in);
        baton_drop_payload(&j->payload);
}

static void write_some(struct job *j)
{
        const uint8_t *data = j->payload.data;

        for (int i = 0; j->in >= 0 && j->n_written < j->payload.len; i++) {
                size_t left = j->payload.len - j->n_written;
                if (i == PIECES_PER_TURN)
                        return;
                ssize_t n = write(j->in, data + j->n_written, size_min(left, PIECE_BYTES));
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0 && errno != EINTR)
                        break; /* EPIPE: it does not want the rest */
                j->n_written += n > 0 ? (size_t)n : 0;
        }
        end_input(j);
}

/* SIGPIPE tells the command to stop. */
static void refuse_output(struct job *j, int error)
{
        close_fd(&j->out);
        if (error == -EMSGSIZE)
                job_fail(j, "the reply is larger than a message can be (%zu bytes)",
                        j->longest_reply);
        else
                job_fail(j, "the reply cannot be kept: %s", strerror(-error));
}

static void read_some(struct job *j)
{
        uint8_t piece[PIECE_BYTES];

        for (int i = 0; j->out >= 0 && i < PIECES_PER_TURN; i++) {
                ssize_t n = read(j->out, piece, sizeof(piece));
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n == 0 || (n < 0 && errno != EINTR))
                        close_fd(&j->out);
                if (n <= 0)
                        continue;
                int r = (size_t)n > j->longest_reply - j->reply.len
                                ? -EMSGSIZE
                                : spool_append(&j->reply, piece, (size_t)n);
                if (r < 0)
                        refuse_output(j, r);
        }
}

void job_turn(struct job *j)
{
        write_some(j);
        read_some(j);
}

void job_reap(struct job *j, const char *name)
{
        int status;

        if (j->is_over || waitpid(j->pid, &status, WNOHANG) != j->pid)
                return;
        read_some(j);
        end_input(j);
        close_fd(&j->out);
        j->is_over = true;
        if (j->has_failed)
                return;
        if (WIFSIGNALED(status))
                job_fail(j, "%s was killed by signal %d", name, WTERMSIG(status));
        else if (WEXITSTATUS(status))
                job_fail(j, "%s exited with %d", name, WEXITSTATUS(status));
}
