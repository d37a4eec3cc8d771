/* progress.h - one line on a terminal that says how far a large payload is.
 *
 *      progress_start(&p, "backup.tar", size);
 *      while (...)
 *              progress_add(&p, n);
 *      progress_end(&p);
 */
#ifndef BATON_CLIENT_CLI_PROGRESS_H
#define BATON_CLIENT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero state: all bytes zero, shows nothing. */
struct progress {
        bool is_shown;
        const char *name; /* borrowed */
        uint64_t total;   /* 0: not known */
        uint64_t done;
        uint64_t begun_ns, drawn_ns; /* drawn_ns 0: not yet */
        size_t width;                /* of what stands there now */
};

/* progress_start: `total` bytes, 0 if that is not known. Nothing is ever drawn unless stderr is a
 * terminal and it is, or becomes, more than 8 MiB. */
void progress_start(struct progress *p, const char *name, uint64_t total);

/* progress_add: so many bytes more are done. Draws at most 10 times a second. */
void progress_add(struct progress *p, size_t n);

/* progress_end wipes the line out. Must come before anything else is said on stderr. */
void progress_end(struct progress *p);

#endif
