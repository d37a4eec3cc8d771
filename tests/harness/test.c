/* Design note. Constructors fill a table, main hands it to cmocka. The descriptor count is taken
 * from /proc/self/fd in each test's set-up and tear-down: a leak is the commonest bug of code that
 * passes descriptors, so every test looks for it without asking. */
#include "tests/harness/test.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_MAX = 512 };

static struct CMUnitTest cases[TEST_MAX];
static size_t n_cases;
static size_t fds_before;

size_t test_open_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        if (!dir)
                abort();
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

static int count_before(void **state __attribute__((unused)))
{
        fds_before = test_open_fds();
        return 0;
}

static int count_after(void **state __attribute__((unused)))
{
        size_t after = test_open_fds();

        if (after == fds_before)
                return 0;
        print_error("descriptors: %zu before the test, %zu after\n", fds_before, after);
        return -1;
}

void test_register(const char *name, void (*run)(void **state))
{
        if (n_cases == TEST_MAX)
                abort();
        cases[n_cases++] = (struct CMUnitTest){
                .name = name,
                .test_func = run,
                .setup_func = count_before,
                .teardown_func = count_after,
        };
}

/* A filter that selects nothing is a mistake, not a success. */
static bool selects_any(const char *filter)
{
        for (size_t i = 0; i < n_cases; i++) {
                if (fnmatch(filter, cases[i].name, 0) == 0)
                        return true;
        }
        print_error("no test is called %s\n", filter);
        return false;
}

int main(int argc, char **argv)
{
        const char *filter = getenv("TESTBRIDGE_TEST_ONLY");
        const char *slash = argc ? strrchr(argv[0], '/') : NULL;

        if (filter && !selects_any(filter))
                return 1;
        if (filter)
                cmocka_set_test_filter(filter);
        setvbuf(stdout, NULL, _IOLBF, 0);
        return _cmocka_run_group_tests(slash ? slash + 1 : "tests", cases, n_cases, NULL, NULL);
}
