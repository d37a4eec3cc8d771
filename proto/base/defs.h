/* defs.h - the few words that every file uses.
 *
 * Conventions for the whole of Baton, written once; headers document only what deviates:
 *
 * Errors    int functions return 0 for done; a negative errno when the world failed: pass it on
 *           unchanged, close the smallest owner that can be dropped; a positive, named outcome
 *           (X_E_...) that the caller must handle here and never passes on.
 * Pointers  are non-NULL and borrowed for the call, unless the function's name says push, take or
 *           adopt: then the callee owns the argument from that moment on, also when it fails.
 * Outputs   are named ret_x, come last, and are left alone on failure.
 * Objects   x_new/x_free live on the heap, x_init/x_deinit are embedded, x_ref/x_unref are shared.
 *           Destructors accept NULL and half-built objects and return NULL.
 * Units     sizes in bytes, times in CLOCK_MONOTONIC nanoseconds (_ns), unless the name says so.
 * Threads   nothing is thread-safe, nothing is global: one object, one thread.
 */
#ifndef BATON_BASE_DEFS_H
#define BATON_BASE_DEFS_H

#include <stddef.h>

#define BT_MUST         __attribute__((warn_unused_result))
#define BT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define cleanup_(f)     __attribute__((cleanup(f)))

#define bt_likely(x)   __builtin_expect(!!(x), 1)
#define bt_unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* container_of gives the object that embeds `ptr` as its `member`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* take_ptr hands a pointer over: its value is returned, the variable becomes NULL, so that a
 * cleanup_ on it does nothing. */
#define take_ptr(p)                                 \
        ({                                          \
                __typeof__(p) take_ptr_value = (p); \
                (p) = NULL;                         \
                take_ptr_value;                     \
        })

static inline size_t size_min(size_t a, size_t b)
{
        return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
        return a > b ? a : b;
}

#endif
