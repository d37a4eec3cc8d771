/* Design note. The set is one allocation with the descriptors behind it. The chain of dead sets
 * uses the set itself as its link, so burying cannot fail for lack of memory. */
#include "proto/base/fdset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fdset {
        struct fdset *next_dead;
        struct graveyard *yard;
        unsigned refs;
        unsigned n;
        int fds[];
};

static void close_all(const int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (fds[i] >= 0)
                        close(fds[i]);
        }
}

int fdset_new_take(const int *fds, size_t n, struct graveyard *yard, struct fdset **ret_set)
{
        assert(n > 0 && n <= FDSET_MAX);
        struct fdset *s = malloc(sizeof(*s) + n * sizeof(int));

        if (!s) {
                close_all(fds, n);
                return -ENOMEM;
        }
        *s = (struct fdset){.yard = yard, .refs = 1, .n = (unsigned)n};
        memcpy(s->fds, fds, n * sizeof(int));
        *ret_set = s;
        return 0;
}

struct fdset *fdset_ref(struct fdset *s)
{
        if (s)
                s->refs++;
        return s;
}

struct fdset *fdset_unref(struct fdset *s)
{
        if (!s || --s->refs)
                return NULL;
        if (s->yard) {
                s->next_dead = s->yard->dead;
                s->yard->dead = s;
                s->yard->n_laid += s->n;
        } else {
                fdset_bury(s);
        }
        return NULL;
}

void fdset_unrefp(struct fdset **s)
{
        *s = fdset_unref(*s);
}

size_t fdset_n(const struct fdset *s)
{
        return s ? s->n : 0;
}

const int *fdset_fds(const struct fdset *s)
{
        return s ? s->fds : NULL;
}

static int steal(struct fdset *s, size_t i)
{
        int fd = s->fds[i];

        assert(i < s->n);
        s->fds[i] = -1;
        return fd;
}

int fdset_steal(struct fdset *s, size_t i)
{
        assert(s->refs == 1);
        return steal(s, i);
}

int fdset_steal_dead(struct fdset *s, size_t i)
{
        assert(s->refs == 0);
        return steal(s, i);
}

struct fdset *graveyard_take(struct graveyard *yard)
{
        return take_ptr(yard->dead);
}

struct fdset *fdset_join(struct fdset *a, struct fdset *b)
{
        struct fdset **end = &a;

        while (*end)
                end = &(*end)->next_dead;
        *end = b;
        return a;
}

struct fdset *fdset_behind(struct fdset *chain)
{
        return take_ptr(chain->next_dead);
}

void fdset_bury(struct fdset *chain)
{
        while (chain) {
                struct fdset *next = chain->next_dead;
                close_all(chain->fds, chain->n);
                free(chain);
                chain = next;
        }
}
