/* What the environment says of listeners that were passed on. */
#include "broker/passed.h"

#include "tests/harness/test.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 4, UNTOUCHED = 77 };

static void set(const char *pid, const char *fds)
{
        char own[32];

        snprintf(own, sizeof(own), "%d", (int)getpid());
        CHECK_EQ(setenv("LISTEN_PID", pid ? pid : own, true), 0);
        CHECK_EQ(setenv("LISTEN_FDS", fds, true), 0);
        CHECK_EQ(setenv("LISTEN_FDNAMES", "a:b", true), 0);
}

static void check(const char *pid, const char *fds, int outcome, size_t expected)
{
        size_t n = UNTOUCHED;

        set(pid, fds);
        CHECK_EQ(passed_take(MOST, &n), outcome);
        CHECK_EQ(n, expected);
        CHECK_NULL(getenv("LISTEN_PID"));
        CHECK_NULL(getenv("LISTEN_FDS"));
        CHECK_NULL(getenv("LISTEN_FDNAMES"));
}

/* Descriptors 3 to 3 + n - 1, whatever the harness has there, are a file for as long as `body`. */
static void with_files(int n, const char *fds, int outcome, size_t expected)
{
        int kept[MOST];

        for (int i = 0; i < n; i++) {
                kept[i] = fcntl(PASSED_FD_FIRST + i, F_DUPFD_CLOEXEC, 100);
                CHECK(dup2(STDIN_FILENO, PASSED_FD_FIRST + i) >= 0);
        }
        check(NULL, fds, outcome, expected);
        for (int i = 0; i < n; i++) {
                CHECK_EQ(fcntl(PASSED_FD_FIRST + i, F_GETFD), outcome ? 0 : FD_CLOEXEC);
                if (kept[i] >= 0) {
                        CHECK(dup2(kept[i], PASSED_FD_FIRST + i) >= 0);
                        close(kept[i]);
                } else {
                        close(PASSED_FD_FIRST + i);
                }
        }
}

TEST(what_was_passed_on_is_counted_and_not_inherited)
{
        with_files(1, "1", 0, 1);
        with_files(MOST, "4", 0, MOST);
}

TEST(what_is_for_another_process_or_nobody_is_ignored)
{
        static const char *const others[] = {"1", "0", "-1", "", "x", "99999999999999999999999"};

        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                check(others[i], "1", 0, UNTOUCHED);
                check(others[i], "junk", 0, UNTOUCHED);
        }
}

TEST(without_the_variables_there_are_none)
{
        size_t n = UNTOUCHED;

        CHECK_EQ(passed_take(MOST, &n), 0);
        set(NULL, "1");
        CHECK_EQ(unsetenv("LISTEN_FDS"), 0);
        CHECK_EQ(passed_take(MOST, &n), 0);
        set(NULL, "1");
        CHECK_EQ(unsetenv("LISTEN_PID"), 0);
        CHECK_EQ(passed_take(MOST, &n), 0);
        CHECK_EQ(n, UNTOUCHED);
        CHECK_NULL(getenv("LISTEN_FDS"));
}

TEST(a_count_that_is_none_or_too_high_is_refused)
{
        static const char *const bad[] = {
                "", "0", "-1", "x", "1x", " 1", "+1", "5", "99999999999999999999999"};

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                with_files(1, bad[i], PASSED_E_BAD, UNTOUCHED);
}

TEST(one_that_is_not_open_is_refused)
{
        int high = 3;

        while (fcntl(high, F_GETFD) >= 0)
                high++;
        CHECK(high - PASSED_FD_FIRST < MOST);
        char count[16];
        snprintf(count, sizeof(count), "%d", high - PASSED_FD_FIRST + 1);
        check(NULL, count, PASSED_E_BAD, UNTOUCHED);
}
