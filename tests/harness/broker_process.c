/* Design note. The broker says `ready` on stderr, hence the pipe; a thread passes on what it says
 * later, so that it never waits for a full pipe. */
#include "tests/harness/broker_process.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void choose_address(struct broker_process *p)
{
        const char *kind = getenv("BATON_TEST_ADDRESS_KIND");
        struct timespec now;
        char name[40];

#ifdef BATON_PORTABLE
        kind = kind ? kind : "seqpacket";
#endif
        /* One that a test before, which failed, has left running is not in the way. */
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(name, sizeof(name), "baton-test-%d-%ld", getpid(), now.tv_nsec);
        p->file[0] = '\0';
        if (!kind || strcmp(kind, "abstract") == 0) {
                snprintf(p->address, sizeof(p->address), "@%s", name);
                return;
        }
        snprintf(p->file, sizeof(p->file), "/tmp/%s", name);
        snprintf(p->address, sizeof(p->address), "%s:%s", kind, p->file);
}

static void *pass_on(void *arg)
{
        char line[1024];

        while (fgets(line, sizeof(line), arg))
                fprintf(stderr, "broker: %s", line);
        return NULL;
}

static void become_broker(const char *address, int err)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(err, STDERR_FILENO);
        execl("broker/broker", "broker", "--listen", address, NULL);
        _exit(127);
}

void broker_process_restart(struct broker_process *p)
{
        char line[1024];
        int ends[2];

        CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
        p->pid = fork();
        CHECK(p->pid >= 0);
        if (!p->pid)
                become_broker(p->address, ends[1]);
        close(ends[1]);
        p->says = fdopen(ends[0], "r");
        CHECK_PTR(p->says);
        for (;;) {
                CHECK_PTR(fgets(line, sizeof(line), p->says));
                if (strcmp(line, "ready\n") == 0)
                        break;
                fprintf(stderr, "broker: %s", line);
        }
        CHECK_EQ(pthread_create(&p->echo, NULL, pass_on, p->says), 0);
}

void broker_process_start(struct broker_process *p)
{
        choose_address(p);
        broker_process_restart(p);
}

static int end(struct broker_process *p, int signal)
{
        int status;

        CHECK_EQ(kill(p->pid, signal), 0);
        CHECK_EQ(waitpid(p->pid, &status, 0), p->pid);
        CHECK_EQ(pthread_join(p->echo, NULL), 0);
        fclose(p->says);
        return status;
}

void broker_process_end(struct broker_process *p)
{
        int status = end(p, SIGTERM);

        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
}

void broker_process_kill(struct broker_process *p)
{
        CHECK(WIFSIGNALED(end(p, SIGKILL)));
}

void broker_process_stop(struct broker_process *p)
{
        char lock[sizeof(p->file) + 8];

        broker_process_end(p);
        if (!p->file[0])
                return;
        snprintf(lock, sizeof(lock), "%s.lock", p->file);
        CHECK_EQ(unlink(lock), 0);
}
