#include "tests/threads/world.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void world_init(struct world *w, const char *address)
{
        *w = (struct world){.address = address};
        CHECK_EQ(pthread_mutex_init(&w->mutex, NULL), 0);
        CHECK_EQ(pthread_cond_init(&w->changed, NULL), 0);
}

void world_deinit(struct world *w)
{
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
}

void world_add(struct world *w, enum count which, uint64_t n)
{
        pthread_mutex_lock(&w->mutex);
        w->counts[which] += n;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->mutex);
}

uint64_t world_get(struct world *w, enum count which)
{
        pthread_mutex_lock(&w->mutex);
        uint64_t n = w->counts[which];
        pthread_mutex_unlock(&w->mutex);
        return n;
}

void world_wait(struct world *w, enum count which, uint64_t n)
{
        struct timespec until;
        int r = 0;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LONG_MS / 1000;
        pthread_mutex_lock(&w->mutex);
        while (w->counts[which] < n && r == 0)
                r = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
        uint64_t got = w->counts[which];
        pthread_mutex_unlock(&w->mutex);
        if (got < n)
                fail_msg("count %d is %llu, awaited %llu", which, (unsigned long long)got,
                        (unsigned long long)n);
}

baton *world_join(struct world *w)
{
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, w->address, LONG_MS), 0);
        return b;
}

void world_leave(baton *b)
{
        CHECK_EQ(baton_close(b, LONG_MS), 0);
        baton_free(b);
}

static uint8_t filling(struct stamp s)
{
        return (uint8_t)(s.number * 31 + s.publisher);
}

void stamp_write(uint8_t *payload, size_t len, struct stamp s)
{
        CHECK(len >= sizeof(s.publisher) + sizeof(s.number));
        memset(payload, filling(s), len);
        memcpy(payload, &s.publisher, sizeof(s.publisher));
        memcpy(payload + sizeof(s.publisher), &s.number, sizeof(s.number));
}

struct stamp stamp_read(const void *payload, size_t len)
{
        const uint8_t *p = payload;
        struct stamp s;

        CHECK(len >= sizeof(s.publisher) + sizeof(s.number));
        memcpy(&s.publisher, p, sizeof(s.publisher));
        memcpy(&s.number, p + sizeof(s.publisher), sizeof(s.number));
        for (size_t i = sizeof(s.publisher) + sizeof(s.number); i < len; i++) {
                if (p[i] != filling(s))
                        fail_msg("byte %zu of message %llu of publisher %u", i,
                                (unsigned long long)s.number, s.publisher);
        }
        return s;
}
