/* Design note. Each attempt is made by a child of its own, which confines itself first. Built with
 * a sanitizer nothing is confined, and there is nothing to attempt. */
#include "broker/confine.h"

#include "broker/test_attempts.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        CHECK(fd >= 0);
        CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static void make_place(struct place *p)
{
        struct address_why why;
        const char *parent = getenv("TEST_TMPDIR") ? "." : "/tmp";

        *p = (struct place){.served = &p->address};
        snprintf(p->directory, sizeof(p->directory), "%s/confine-XXXXXX", parent);
        snprintf(p->elsewhere, sizeof(p->elsewhere), "%s/confine-XXXXXX", parent);
        CHECK_PTR(mkdtemp(p->directory));
        CHECK_PTR(mkdtemp(p->elsewhere));
        snprintf(p->socket, sizeof(p->socket), "%s/s", p->directory);
        snprintf(p->policy, sizeof(p->policy), "%s/policy", p->directory);
        snprintf(p->secret, sizeof(p->secret), "%s/secret", p->elsewhere);
        write_file(p->socket, "");
        write_file(p->policy, "policy");
        write_file(p->secret, "secret");
        CHECK_EQ(address_parse(p->socket, ADDRESS_BROKER, &p->address, &why), 0);
        p->dir = open(p->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK(p->dir >= 0);
}

static void remove_place(struct place *p)
{
        close(p->dir);
        (void)unlink(p->socket);
        (void)unlink(p->policy);
        (void)unlink(p->secret);
        CHECK_EQ(rmdir(p->directory), 0);
        CHECK_EQ(rmdir(p->elsewhere), 0);
}

/* ---------------------------------------------------------------- children */

/* What a child writes: what it has given up, and what came of its attempt. */
struct outcome {
        unsigned confined;
        int result;
};

static unsigned confine(const struct place *p, bool has_policy)
{
        const struct address *served = &p->address;
        struct confinement needs = {
                .policy = has_policy ? p->policy : NULL,
                .served = &served,
                .n_served = 1,
        };

        return confine_process(&needs);
}

static void run_child(const struct place *p, const struct attempt *a, bool has_policy, int report)
{
        struct rlimit no_core = {0, 0};
        struct outcome o;

        setrlimit(RLIMIT_CORE, &no_core);
        o.confined = confine(p, has_policy);
        if (!(o.confined & CONFINED_CALLS))
                a = &attempts[0]; /* harmless: it would do what it tries */
        o.result = FATAL;
        (void)!write(report, &o, sizeof(o)); /* if it does not come to the next line */
        o.result = -a->make(p);
        (void)!write(report, &o, sizeof(o));
        _exit(0);
}

/* What came of it, in a place of its own; `ret_confined` says what was in force. */
static int come_of(const struct attempt *a, bool has_policy, unsigned *ret_confined)
{
        struct outcome o[2];
        struct place p;
        int ends[2], status;

        make_place(&p);
        CHECK_EQ(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0)
                run_child(&p, a, has_policy, ends[1]);
        close(ends[1]);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        ssize_t n = read(ends[0], o, sizeof(o));
        close(ends[0]);
        remove_place(&p);
        CHECK(n >= (ssize_t)sizeof(o[0]));
        *ret_confined = o[0].confined;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
                return FATAL;
        CHECK_EQ(status, 0);
        CHECK_EQ(n, sizeof(o));
        return o[1].result;
}

static void try_all(bool has_policy)
{
        unsigned confined = 0;

        for (const struct attempt *a = attempts; a->name; a++) {
                int expected = has_policy ? a->policy : a->bare;
                int result = come_of(a, has_policy, &confined);
                if (!(confined & CONFINED_CALLS) || (confined & a->needs) != a->needs)
                        continue;
                if (result != expected)
                        print_message("%s: %d, not %d\n", a->name, result, expected);
                CHECK_EQ(result, expected);
        }
}

TEST(a_broker_without_a_policy_opens_nothing_and_can_do_no_harm)
{
        try_all(false);
}

TEST(a_broker_with_a_policy_reads_that_and_the_names_of_users)
{
        try_all(true);
}

/* ----------------------------------------------------------------- threads */

struct trial {
        const struct place *place;
        int start[2], result[2]; /* of a file that may be read, and of one that may not */
};

static void *try_in_thread(void *arg)
{
        struct trial *t = arg;
        char go;

        (void)!read(t->start[0], &go, 1);
        t->result[0] = open(t->place->secret, O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
        t->result[1] = open(t->place->secret, O_WRONLY | O_CLOEXEC) < 0 ? errno : 0;
        return NULL;
}

static int start_trial(struct trial *t, pthread_t *ret_thread)
{
        return pipe(t->start) || pthread_create(ret_thread, NULL, try_in_thread, t);
}

static void finish_trial(struct trial *t, pthread_t thread)
{
        (void)!write(t->start[1], "", 1);
        pthread_join(thread, NULL);
}

/* Exit status of the child: 0, or the number of what was not as it must be. */
static int try_threads(const struct place *p)
{
        struct trial before = {.place = p}, later = {.place = p};
        pthread_t old, young;

        if (start_trial(&before, &old) || pipe(later.start))
                return 1;
        unsigned confined = confine(p, true);
        if (pthread_create(&young, NULL, try_in_thread, &later))
                return 2;
        finish_trial(&before, old);
        finish_trial(&later, young);
        if (confined & CONFINED_CALLS && before.result[1] != ENOSYS)
                return 3;
        if (confined & CONFINED_CALLS && later.result[1] != ENOSYS)
                return 4;
        return confined & CONFINED_PATHS && later.result[0] != EACCES ? 5 : 0;
}

TEST(threads_that_run_already_and_threads_that_are_started_later_are_confined)
{
        struct place p;
        int status;

        make_place(&p);
        pid_t pid = fork();
        if (pid == 0)
                _exit(try_threads(&p));
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        remove_place(&p);
        CHECK_EQ(WEXITSTATUS(status), 0);
        CHECK_EQ(status, 0);
}

/* ------------------------------------------------------------------- image */

static void drop_capabilities(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[2] = {{0}};

        if (syscall(SYS_capset, &header, none) < 0)
                _exit(1);
}

/* A process that has given up all privileges, and perhaps confined itself, and then waits. */
static pid_t start_target(const struct place *p, bool is_confined, unsigned *ret_confined)
{
        int ends[2];

        CHECK_EQ(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
                drop_capabilities();
                unsigned confined = is_confined ? confine(p, true) : 0;
                (void)!write(ends[1], &confined, sizeof(confined));
                for (;;)
                        poll(NULL, 0, -1);
        }
        CHECK_EQ(read(ends[0], ret_confined, sizeof(*ret_confined)), sizeof(*ret_confined));
        close(ends[0]);
        close(ends[1]);
        return pid;
}

/* Does another process of the same user, without privileges, get at its memory? */
static bool is_open_to_its_user(pid_t target)
{
        char path[64];
        int status;

        snprintf(path, sizeof(path), "/proc/%d/mem", (int)target);
        pid_t pid = fork();
        if (pid == 0) {
                drop_capabilities();
                _exit(open(path, O_RDONLY | O_CLOEXEC) >= 0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        return WEXITSTATUS(status);
}

TEST(with_a_policy_no_process_of_the_same_user_looks_into_it)
{
        struct place p;
        unsigned confined;

        make_place(&p);
        for (int is_confined = 0; is_confined <= 1; is_confined++) {
                pid_t target = start_target(&p, is_confined, &confined);
                bool is_open = is_open_to_its_user(target);
                kill(target, SIGKILL);
                waitpid(target, NULL, 0);
                CHECK_EQ(is_open, !(confined & CONFINED_IMAGE));
        }
        remove_place(&p);
}
