/* Design note. The filters as a tree of tokens. All nodes stand in one hash table under
 * hash(parent, token), so a step costs one look-up whatever the fan-out, and a million siblings
 * need no rebalancing. `*` is a child like the others, remembered in its parent; a final `>` is no
 * node: it stands in the `tails` of the node before it.
 *
 * Matching walks at most two children per level (the token itself and `*`). It is bounded by
 * limits.match_nodes, and its result is remembered per topic (route.c). */
#include "broker/core/routing.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const struct core *c, const struct node *parent, const struct token *t)
{
        return hash_bytes(hash_u64(c->config.seed, (uintptr_t)parent), t->data, t->len);
}

static struct node *find_child(
        const struct core *c, const struct node *parent, const struct token *t)
{
        map_for_each (link, &c->nodes, hash_of(c, parent, t)) {
                struct node *n = container_of(link, struct node, by_token);
                if (n->parent == parent && n->token_len == t->len &&
                        !memcmp(n->token, t->data, t->len))
                        return n;
        }
        return NULL;
}

static bool is_wildcard(const struct token *t, char which)
{
        return t->len == 1 && t->data[0] == which;
}

static int new_node(struct core *c, struct node *parent, const struct token *t, struct node **ret)
{
        struct node *n = malloc(sizeof(*n) + t->len);

        if (!n)
                return -ENOMEM;
        *n = (struct node){.parent = parent, .token_len = (uint32_t)t->len};
        memcpy(n->token, t->data, t->len);
        list_init(&n->subs);
        list_init(&n->tails);
        if (parent) {
                if (map_add(&c->nodes, &n->by_token, hash_of(c, parent, t)) < 0) {
                        free(n);
                        return -ENOMEM;
                }
                parent->n_children++;
                if (is_wildcard(t, '*'))
                        parent->star = n;
        }
        *ret = n;
        return 0;
}

/* Frees `n` and its ancestors as far as nothing hangs on them. */
static void prune(struct core *c, struct node *n)
{
        while (n && !n->n_children && list_is_empty(&n->subs) && list_is_empty(&n->tails)) {
                struct node *parent = n->parent;
                if (parent) {
                        map_remove(&c->nodes, &n->by_token);
                        parent->n_children--;
                        if (parent->star == n)
                                parent->star = NULL;
                } else {
                        c->root = NULL;
                }
                free(n);
                n = parent;
        }
}

static int descend(struct core *c, struct node *at, const struct token *t, struct node **ret)
{
        struct node *child = find_child(c, at, t);

        if (child) {
                *ret = child;
                return 0;
        }
        return new_node(c, at, t, ret);
}

int index_add(struct core *c, struct sub *sub, const void *filter, size_t len)
{
        int r = 0;

        if (!c->root) {
                const struct token empty = {.data = (const uint8_t *)""};
                r = new_node(c, NULL, &empty, &c->root);
                if (r < 0)
                        return r;
        }
        struct node *at = c->root;
        struct list *place = NULL;
        for (struct token t = token_first(filter, len); t.data; t = token_next(&t)) {
                if (is_wildcard(&t, '>')) {
                        place = &at->tails;
                        break;
                }
                r = descend(c, at, &t, &at);
                if (r < 0) {
                        prune(c, at);
                        return r;
                }
        }
        list_push_back(place ? place : &at->subs, &sub->at_node);
        sub->node = at;
        sub->is_tail = place != NULL;
        c->generation++;
        return 0;
}

size_t index_filter(const struct sub *sub, char ret_text[WIRE_TOPIC_BYTES + 1])
{
        const struct node *path[WIRE_TOPIC_TOKENS], *n = sub->node;
        size_t depth = 0, len = 0;

        for (; n->parent; n = n->parent)
                path[depth++] = n;
        while (depth) {
                n = path[--depth];
                memcpy(ret_text + len, n->token, n->token_len);
                len += n->token_len;
                if (depth || sub->is_tail)
                        ret_text[len++] = '.';
        }
        if (sub->is_tail)
                ret_text[len++] = '>';
        ret_text[len] = 0;
        return len;
}

void index_remove(struct core *c, struct sub *sub)
{
        list_remove(&sub->at_node);
        prune(c, sub->node);
        sub->node = NULL;
        c->generation++;
}

struct walk {
        struct core *core;
        struct buf *out;
        uint64_t steps_left;
};

static int take_subs(struct walk *w, const struct list *subs)
{
        list_for_each (link, subs) {
                struct sub *sub = list_entry(link, struct sub, at_node);
                int r = buf_push(w->out, &sub, sizeof(sub));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Recursion is bounded by WIRE_TOPIC_TOKENS. `is_hidden`: wildcards do not match this token. */
static int walk(struct walk *w, const struct node *at, const struct token *t, bool is_hidden)
{
        if (!w->steps_left--)
                return INDEX_E_LIMIT;
        if (!t->data)
                return take_subs(w, &at->subs);
        int r = is_hidden ? 0 : take_subs(w, &at->tails);
        if (r)
                return r;
        struct token rest = token_next(t);
        const struct node *child = find_child(w->core, at, t);
        if (child)
                r = walk(w, child, &rest, false);
        if (!r && at->star && !is_hidden)
                r = walk(w, at->star, &rest, false);
        return r;
}

int index_match(struct core *c, const void *topic, size_t len, struct buf *out)
{
        struct walk w = {.core = c, .out = out, .steps_left = c->config.limits.match_nodes};
        struct token first = token_first(topic, len);

        if (!c->root)
                return 0;
        int r = walk(&w, c->root, &first, topic_hides_from_wildcards(topic, len));
        c->work += (c->config.limits.match_nodes - w.steps_left) * WORK_STEP;
        return r;
}
