#include "client/fake_memory.h"

#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long until_failure = -1; /* allocations that still succeed; -1: all */
static bool failed;

static bool fails(void)
{
        if (until_failure < 0 || until_failure-- > 0)
                return false;
        failed = true;
        until_failure = -1;
        return true;
}

void *__wrap_malloc(size_t n)
{
        return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
        return fails() ? NULL : __real_realloc(p, n);
}

void memory_fail_after(long n)
{
        until_failure = n;
        failed = false;
}

bool memory_has_failed(void)
{
        return failed;
}

long memory_suspend(void)
{
        long left = until_failure;

        until_failure = -1;
        return left;
}

void memory_resume(long left)
{
        until_failure = left;
}
