/* Design note. Payloads that outlive their callback and their handle, and end in another thread:
 * small ones are copies, large ones mappings of a memfd that the broker has passed on. */
#include "tests/threads/roles.h"

#include <stdlib.h>

static size_t size_of(uint64_t number)
{
        static const size_t sizes[] = {16, 1000, 60000, 70000, 300000, 2500000};

        return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

void *publish_large(void *arg)
{
        struct role *role = arg;
        struct stamp s = {.publisher = role->number};
        uint8_t *payload = malloc(size_of(5));
        baton *b = world_join(role->w);

        CHECK_PTR(payload);
        world_wait(role->w, TAKEN, 1);
        for (; s.number < LARGE_MESSAGES; s.number++) {
                stamp_write(payload, size_of(s.number), s);
                CHECK_EQ(baton_publish(b, "large", payload, size_of(s.number)), 0);
        }
        world_leave(b);
        free(payload);
        return NULL;
}

static void push(struct belt *belt, struct baton_payload item)
{
        const size_t cap = sizeof(belt->items) / sizeof(belt->items[0]);

        pthread_mutex_lock(&belt->mutex);
        while (belt->n == cap)
                pthread_cond_wait(&belt->changed, &belt->mutex);
        belt->items[(belt->first + belt->n++) % cap] = item;
        pthread_cond_broadcast(&belt->changed);
        pthread_mutex_unlock(&belt->mutex);
}

static struct baton_payload pop(struct belt *belt)
{
        const size_t cap = sizeof(belt->items) / sizeof(belt->items[0]);

        pthread_mutex_lock(&belt->mutex);
        while (!belt->n)
                pthread_cond_wait(&belt->changed, &belt->mutex);
        struct baton_payload item = belt->items[belt->first];
        belt->first = (belt->first + 1) % cap;
        belt->n--;
        pthread_cond_broadcast(&belt->changed);
        pthread_mutex_unlock(&belt->mutex);
        return item;
}

static void take(baton *b, const struct baton_message *m, void *arg)
{
        struct role *role = arg;
        struct baton_payload payload;

        (void)b;
        CHECK_EQ(baton_take_payload(m, &payload), 0);
        push(role->belt, payload);
        world_add(role->w, TAKEN, 1);
}

void *take_payloads(void *arg)
{
        struct role *role = arg;
        baton *b = world_join(role->w);

        CHECK_EQ(baton_subscribe(b, "large", NULL, take, role, NULL), 0);
        world_add(role->w, TAKEN, 1); /* ready */
        while (world_get(role->w, TAKEN) < 1 + LARGE_MESSAGES)
                CHECK(baton_wait(b, LONG_MS) >= 0);
        world_leave(b);
        return NULL;
}

void *drop_payloads(void *arg)
{
        struct role *role = arg;

        for (uint64_t i = 0; i < LARGE_MESSAGES; i++) {
                struct baton_payload payload = pop(role->belt);
                CHECK_EQ(payload.len, size_of(i));
                CHECK_EQ(stamp_read(payload.data, payload.len).number, i);
                baton_drop_payload(&payload);
                world_add(role->w, DROPPED, 1);
        }
        return NULL;
}
