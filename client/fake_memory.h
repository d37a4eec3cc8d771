/* fake_memory.h - allocations that fail when a test wants it: malloc, calloc and realloc, of all
 * that is linked with --wrap for each. */
#ifndef BATON_CLIENT_FAKE_MEMORY_H
#define BATON_CLIENT_FAKE_MEMORY_H

#include <stdbool.h>

/* memory_fail_after lets `n` allocations succeed, and the next one fail; those behind it succeed
 * again. memory_has_failed: it came to that. */
void memory_fail_after(long n);
bool memory_has_failed(void);

/* memory_suspend has everything succeed until memory_resume, which is given what it returned. */
long memory_suspend(void);
void memory_resume(long left);

#endif
