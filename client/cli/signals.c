/* Design note. The self-pipe: the handler writes a byte, whoever polls wakes up. A signal handler
 * has no argument, so this is the one place with state of the process: two numbers.
 *
 * A write to a pipe that nobody reads blocks, and a signal that comes just before it does not
 * interrupt it. So the first SIGTERM sets an alarm for each second from then on. */
#include "client/cli/signals.h"

#include "proto/base/sys.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static int pipe_fds[2] = {-1, -1};
static volatile sig_atomic_t is_stopping;

static void on_signal(int number)
{
        int saved = errno;

        if (number == SIGTERM || number == SIGINT)
                is_stopping = 1;
        if (is_stopping)
                alarm(1);
        ssize_t n = write(pipe_fds[1], "", 1); /* a full pipe is readable as well */
        (void)n;
        errno = saved;
}

static int handle(int number, void (*handler)(int))
{
        /* No SA_RESTART: what blocks must notice. */
        struct sigaction action = {.sa_handler = handler};

        sigemptyset(&action.sa_mask);
        if (number == SIGCHLD)
                action.sa_flags = SA_NOCLDSTOP;
        return sigaction(number, &action, NULL) < 0 ? -errno : 0;
}

int signals_open(bool children, int *ret_fd)
{
        int r = sys_pipe(true, pipe_fds);
        if (r == 0)
                r = handle(SIGPIPE, SIG_IGN);
        if (r == 0)
                r = handle(SIGALRM, on_signal);
        if (r == 0)
                r = handle(SIGTERM, on_signal);
        if (r == 0)
                r = handle(SIGINT, on_signal);
        if (r == 0 && children)
                r = handle(SIGCHLD, on_signal);
        if (r == 0)
                *ret_fd = pipe_fds[0];
        return r;
}

void signals_drain(void)
{
        char bytes[64];

        while (read(pipe_fds[0], bytes, sizeof(bytes)) > 0)
                ;
}

bool signals_stopping(void)
{
        return is_stopping;
}

void signals_reset(void)
{
        static const int numbers[] = {SIGPIPE, SIGALRM, SIGTERM, SIGINT, SIGCHLD};
        sigset_t none;

        for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
                if (handle(numbers[i], SIG_DFL) < 0)
                        continue; /* cannot fail for these */
        }
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}
