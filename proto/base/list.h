/* list.h - intrusive doubly linked list, circular with a head.
 *
 * A link that is in no list is self-linked after list_init; removing it twice is harmless. A
 * zeroed link counts as unlinked too, so embedding objects may be calloc'ed. */
#ifndef BATON_BASE_LIST_H
#define BATON_BASE_LIST_H

#include "proto/base/defs.h"
#include <stdbool.h>

struct list {
        struct list *prev, *next;
};

#define LIST_INIT(name)          \
        {                        \
                &(name), &(name) \
        }

static inline void list_init(struct list *l)
{
        l->prev = l->next = l;
}

static inline bool list_is_linked(const struct list *l)
{
        return l->next && l->next != l;
}

static inline bool list_is_empty(const struct list *head)
{
        return !list_is_linked(head);
}

/* list_push_back puts `l`, which must be in no list, at the end of `head`. */
static inline void list_push_back(struct list *head, struct list *l)
{
        l->prev = head->prev;
        l->next = head;
        head->prev->next = l;
        head->prev = l;
}

static inline void list_push_front(struct list *head, struct list *l)
{
        list_push_back(head->next, l);
}

/* list_remove takes `l` out of its list, if it is in one. */
static inline void list_remove(struct list *l)
{
        if (!l->next)
                return;
        l->prev->next = l->next;
        l->next->prev = l->prev;
        list_init(l);
}

/* list_first returns the first link, NULL if there is none. */
static inline struct list *list_first(const struct list *head)
{
        return list_is_empty(head) ? NULL : head->next;
}

#define list_entry(link, type, member) container_of(link, type, member)

#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

/* The body may remove `it`, and nothing else. */
#define list_for_each_safe(it, head)                                              \
        for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
                it = it##_next, it##_next = it->next)

#endif
