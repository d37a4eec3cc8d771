/* site.h - the function that an address lies in, by this program's own symbol table. */
#ifndef BATON_TESTS_SITE_H
#define BATON_TESTS_SITE_H

#include <stddef.h>
#include <stdint.h>

/* site_name gives its name, with its file if that is needed: "conn.c:accepted"; "?" if it has none.
 */
void site_name(uintptr_t at, char *ret_name, size_t cap);

#endif
