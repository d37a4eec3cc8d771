/* number.h - whole numbers, as people and other programs write them. */
#ifndef BATON_BASE_NUMBER_H
#define BATON_BASE_NUMBER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* number_read reads a decimal number up to `most`. Returns false for anything else: strtoull(3)
 * alone takes signs, blanks, and what stands behind. */
static inline bool number_read(const char *text, uint64_t most, uint64_t *ret)
{
        char *end;

        errno = 0;
        unsigned long long n = strtoull(text, &end, 10);
        if (errno || *end || *text < '0' || *text > '9' || n > most)
                return false;
        *ret = n;
        return true;
}

#endif
