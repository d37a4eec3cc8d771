/* Design note. Stands in front of malloc, calloc and realloc (the linker's --wrap). Only what the
 * core asks for can fail, and only while that is wanted. */
#include "broker/core/oom.h"

#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

struct oom_memory oom_memory;

static bool fails(void)
{
        if (!oom_memory.is_inside || !oom_memory.is_scarce)
                return false;
        oom_memory.n++;
        if (oom_memory.left && --oom_memory.left)
                return false;
        if (!oom_memory.for_ever)
                oom_memory.is_scarce = false;
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

void oom_inside(bool is_inside)
{
        oom_memory.is_inside = is_inside;
}

void oom_make_scarce(uint64_t nth, bool for_ever)
{
        oom_memory = (struct oom_memory){.is_scarce = false};
        oom_memory.left = nth;
        oom_memory.for_ever = for_ever;
        oom_memory.is_scarce = nth > 0;
}
