/* Descriptors that travel: shared, stolen, buried, and never leaked (the harness counts them). */
#include "proto/base/fdset.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
static bool malloc_fails;

void *__wrap_malloc(size_t n)
{
        return malloc_fails ? NULL : __real_malloc(n);
}

static void open_some(int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                CHECK(fds[i] >= 0);
        }
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

TEST(the_last_reference_closes)
{
        int fds[3];
        struct fdset *s = NULL;

        open_some(fds, 3);
        CHECK_EQ(fdset_new_take(fds, 3, NULL, &s), 0);
        CHECK_EQ(fdset_n(s), 3);
        for (int i = 0; i < 3; i++)
                CHECK_EQ(fdset_fds(s)[i], fds[i]);
        CHECK(fdset_ref(s) == s);
        CHECK_NULL(fdset_unref(s));
        CHECK(is_open(fds[0]) && is_open(fds[2]));
        CHECK_NULL(fdset_unref(s));
        for (int i = 0; i < 3; i++)
                CHECK(!is_open(fds[i]));
}

TEST(none_is_a_set_of_none)
{
        struct fdset *s = NULL;

        CHECK_EQ(fdset_n(NULL), 0);
        CHECK_NULL(fdset_ref(NULL));
        CHECK_NULL(fdset_unref(NULL));
        fdset_unrefp(&s);
        fdset_bury(NULL);
}

TEST(the_most_that_the_kernel_passes_fit)
{
        static int fds[FDSET_MAX];
        struct fdset *s = NULL;

        open_some(fds, FDSET_MAX);
        CHECK_EQ(fdset_new_take(fds, FDSET_MAX, NULL, &s), 0);
        CHECK_EQ(fdset_n(s), FDSET_MAX);
        fdset_unrefp(&s);
        CHECK_NULL(s);
}

TEST(a_stolen_descriptor_belongs_to_the_thief)
{
        int fds[3];
        struct fdset *s = NULL;

        open_some(fds, 3);
        CHECK_EQ(fdset_new_take(fds, 3, NULL, &s), 0);
        int mine = fdset_steal(s, 1);
        CHECK_EQ(mine, fds[1]);
        CHECK_EQ(fdset_fds(s)[1], -1);
        CHECK_EQ(fdset_n(s), 3);
        fdset_unref(s);
        CHECK(is_open(mine));
        CHECK(!is_open(fds[0]) && !is_open(fds[2]));
        close(mine);
}

TEST(a_dead_set_stays_open_on_its_graveyard_until_it_is_buried)
{
        struct graveyard yard = {0};
        int fds[4];
        struct fdset *a = NULL, *b = NULL;

        CHECK_NULL(graveyard_take(&yard));
        open_some(fds, 4);
        CHECK_EQ(fdset_new_take(fds, 2, &yard, &a), 0);
        CHECK_EQ(fdset_new_take(fds + 2, 2, &yard, &b), 0);
        fdset_ref(b);
        fdset_unref(a);
        fdset_unref(b);
        struct fdset *chain = graveyard_take(&yard);
        CHECK(chain == a); /* b lives */
        CHECK_NULL(graveyard_take(&yard));
        CHECK(is_open(fds[0]) && is_open(fds[3]));
        fdset_unref(b);
        fdset_bury(chain);
        CHECK(!is_open(fds[0]) && !is_open(fds[1]) && is_open(fds[2]));
        fdset_bury(graveyard_take(&yard));
        CHECK(!is_open(fds[2]) && !is_open(fds[3]));
}

TEST(the_dead_can_be_closed_one_by_one)
{
        struct graveyard yard = {0};
        int fds[2];
        struct fdset *s = NULL;

        open_some(fds, 2);
        CHECK_EQ(fdset_new_take(fds, 2, &yard, &s), 0);
        fdset_unref(s);
        struct fdset *dead = graveyard_take(&yard);
        CHECK_EQ(fdset_steal_dead(dead, 1), fds[1]);
        fdset_bury(dead);
        CHECK(!is_open(fds[0]) && is_open(fds[1]));
        close(fds[1]);
}

TEST(many_dead_sets_are_one_chain)
{
        struct graveyard yard = {0};

        for (int i = 0; i < 50; i++) {
                struct fdset *s = NULL;
                int fd;
                open_some(&fd, 1);
                CHECK_EQ(fdset_new_take(&fd, 1, &yard, &s), 0);
                fdset_unref(s);
        }
        fdset_bury(graveyard_take(&yard));
}

TEST(without_memory_the_descriptors_are_closed)
{
        struct graveyard yard = {0};
        int fds[2];
        struct fdset *s = NULL;

        open_some(fds, 2);
        malloc_fails = true;
        int r = fdset_new_take(fds, 2, &yard, &s);
        malloc_fails = false;
        CHECK_EQ(r, -ENOMEM);
        CHECK_NULL(s);
        CHECK(!is_open(fds[0]) && !is_open(fds[1]));
        CHECK_NULL(graveyard_take(&yard));
}
