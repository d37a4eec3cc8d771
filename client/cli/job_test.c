/* Design note. A job with real commands and real descriptors, and no broker: what `serve` hands to
 * a command that it got from a message. */
#include "client/cli/job.h"

#include "proto/base/sys.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST = 1000 };

static struct baton_message message_of(const void *payload, size_t len)
{
        return (struct baton_message){
                .topic = "svc.test",
                .topic_len = 8,
                .payload = payload,
                .payload_len = len,
                .sender = {.session = 7, .pid = 4711, .uid = 1000, .gid = 1001},
                .token = 1,
        };
}

/* Drives the job to its end. */
static void run(struct job *j, const char *const *argv)
{
        siginfo_t info;

        CHECK_EQ(job_start(j, (char *const *)argv), 0);
        while (j->in >= 0 || j->out >= 0) {
                struct pollfd pfds[2];
                job_poll(j, pfds);
                CHECK(poll(pfds, 2, 30000) > 0);
                job_turn(j);
        }
        CHECK_EQ(waitid(P_PID, (id_t)j->pid, &info, WEXITED | WNOWAIT), 0);
        job_reap(j, argv[0]);
        CHECK(j->is_over);
}

static void check_reply(struct job *j, bool has_failed, const char *text)
{
        const void *data = NULL;
        size_t len = 0;

        CHECK_EQ(j->has_failed, has_failed);
        CHECK_EQ(job_answer(j, &data, &len), 0);
        CHECK_EQ(len, strlen(text));
        CHECK_BYTES(data, text, len);
}

static int file_with(const char *text)
{
        FILE *file = tmpfile();
        CHECK_PTR(file);
        fputs(text, file);
        fflush(file);
        int fd = dup(fileno(file));
        fclose(file);
        return fd;
}

TEST(descriptors_of_the_message_are_3_4_and_so_on)
{
        static const char *const argv[] = {
                "sh", "-c", "cat <&3; cat <&5; cat; echo from 4 >&4", NULL};
        struct baton_message m = message_of("stdin\n", 6);
        struct job *j;
        int fds[3], ends[2];
        char text[16] = "";

        CHECK_EQ(pipe(ends), 0);
        fds[0] = file_with("first\n");
        fds[1] = ends[1];
        fds[2] = file_with("third\n");
        m.fds = fds;
        m.n_fds = 3;
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, false, "first\nthird\nstdin\n");
        CHECK_EQ(read(ends[0], text, sizeof(text) - 1), 7);
        CHECK_STR(text, "from 4\n");
        job_free(j);
        close(fds[0]);
        close(fds[2]);
        close(ends[0]);
        close(ends[1]);
}

static bool can_reopen(void)
{
        int fd = file_with("x"), again = sys_reopen(fd);

        close(fd);
        if (again >= 0)
                close(again);
        return again >= 0;
}

TEST(a_file_is_at_its_beginning_and_the_senders_offset_stays)
{
        static const char *const argv[] = {"cat", "/dev/fd/3", NULL};
        static const char *const argv_moved[] = {"sh", "-c", "cat <&3", NULL};
        struct baton_message m = message_of("", 0);
        struct job *j;
        int fd = file_with("0123456789");

        CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
        m.fds = &fd;
        m.n_fds = 1;
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv_moved);
        check_reply(j, false, "0123456789");
        job_free(j);
        if (can_reopen()) /* else it was wound back */
                CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);

        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, false, "0123456789");
        job_free(j);
        close(fd);
}

TEST(nothing_else_is_open_in_the_command)
{
        static const char *const argv[] = {"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '", NULL};
        struct baton_message m = message_of("", 0);
        struct job *j;
        int fds[2] = {file_with("x"), file_with("y")};
        int stray = fcntl(fds[0], F_DUPFD, 40); /* somebody forgot its close-on-exec */

        m.fds = fds;
        m.n_fds = 2;
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, false, "0 1 2 3 4 5 "); /* 5 is the directory that ls reads */
        job_free(j);
        close(fds[0]);
        close(fds[1]);
        close(stray);
}

TEST(the_sender_and_the_number_of_descriptors_are_in_the_environment)
{
        static const char *const argv[] = {"sh", "-c",
                "echo $BATON_TOPIC $BATON_SENDER_SESSION $BATON_SENDER_PID $BATON_SENDER_UID "
                "$BATON_SENDER_GID $BATON_FDS",
                NULL};
        struct baton_message m = message_of("", 0);
        int fds[2] = {file_with("x"), file_with("y")};
        struct job *j;

        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, false, "svc.test 7 4711 1000 1001 0\n");
        job_free(j);

        m.fds = fds;
        m.n_fds = 2;
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, false, "svc.test 7 4711 1000 1001 2\n");
        job_free(j);
        close(fds[0]);
        close(fds[1]);
}

TEST(the_address_of_an_inherited_connection_is_not_passed_on)
{
        static const char *const argv[] = {"sh", "-c", "echo ${BATON_FD-none}", NULL};
        struct baton_message m = message_of("", 0);
        struct job *j;

        CHECK_EQ(setenv("BATON_FD", "3", 1), 0);
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, false, "none\n");
        job_free(j);
}

TEST(a_command_that_never_stops_writing_is_cut_off_and_fails)
{
        static const char *const argv[] = {"cat", "/dev/zero", NULL};
        struct baton_message m = message_of("", 0);
        struct job *j;

        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, argv);
        check_reply(j, true, "the reply is larger than a message can be (1000 bytes)");
        job_free(j);
}

TEST(a_large_reply_is_kept_whole)
{
        static const char *const argv[] = {"head", "-c", "5000000", "/dev/zero", NULL};
        struct baton_message m = message_of("", 0);
        const void *data = NULL;
        size_t len = 0;
        struct job *j;

        CHECK_EQ(job_new(&m, 5000000, &j), 0);
        run(j, argv);
        CHECK(!j->has_failed);
        CHECK_EQ(job_answer(j, &data, &len), 0);
        CHECK_EQ(len, 5000000);
        CHECK_EQ(((const char *)data)[len - 1], 0);
        job_free(j);

        CHECK_EQ(job_new(&m, 4999999, &j), 0);
        run(j, argv);
        check_reply(j, true, "the reply is larger than a message can be (4999999 bytes)");
        job_free(j);
}

TEST(a_payload_larger_than_a_pipe_reaches_a_command_and_none_is_stuck)
{
        static const char *const counting[] = {"wc", "-c", NULL}, *const deaf[] = {"true", NULL};
        static char payload[1 << 20];
        struct baton_message m = message_of(payload, sizeof(payload));
        struct job *j;

        signal(SIGPIPE, SIG_IGN); /* as serve does */
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, counting);
        check_reply(j, false, "1048576\n");
        job_free(j);

        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        run(j, deaf);
        check_reply(j, false, "");
        job_free(j);
}

TEST(what_ends_badly_says_how)
{
        static const char *const exits[] = {"sh", "-c", "echo gone; exit 3", NULL};
        static const char *const dies[] = {"sh", "-c", "kill -TERM $$", NULL};
        static const char *const absent[] = {"/nonexistent", NULL};
        static const struct {
                const char *const *argv;
                const char *text;
        } rows[] = {
                {exits, "sh exited with 3"},
                {dies, "sh was killed by signal 15"},
                {absent, "/nonexistent exited with 127"},
        };
        struct baton_message m = message_of("", 0);

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct job *j;
                CHECK_EQ(job_new(&m, LONGEST, &j), 0);
                run(j, rows[i].argv);
                check_reply(j, true, rows[i].text);
                job_free(j);
        }
}

TEST(a_job_that_was_never_started_closes_its_descriptors)
{
        struct baton_message m = message_of("x", 1);
        struct job *j;
        int fd = file_with("x");

        m.fds = &fd;
        m.n_fds = 1;
        CHECK_EQ(job_new(&m, LONGEST, &j), 0);
        job_free(j); /* the harness counts descriptors */
        close(fd);
        CHECK_NULL(job_free(NULL));
}
