/* The intrusive list: links that are in no list, order, and removing while walking. */
#include "proto/base/list.h"

#include "tests/harness/test.h"

struct thing {
        int n;
        struct list link;
};

static int first_of(const struct list *head)
{
        return list_entry(list_first(head), struct thing, link)->n;
}

static size_t length(const struct list *head)
{
        size_t n = 0;

        list_for_each (it, head)
                n += it->next->prev == it && it->prev->next == it;
        return n;
}

TEST(a_zeroed_link_is_in_no_list)
{
        struct list zero = {0}, fresh;

        list_init(&fresh);
        CHECK(!list_is_linked(&zero));
        CHECK(!list_is_linked(&fresh));
        list_remove(&zero);
        list_remove(&fresh);
        CHECK(!list_is_linked(&zero));
        CHECK(!list_is_linked(&fresh));
}

TEST(an_empty_list_has_no_first)
{
        struct list head = LIST_INIT(head);

        CHECK(list_is_empty(&head));
        CHECK_NULL(list_first(&head));
        list_for_each (it, &head)
                fail();
}

TEST(things_come_out_in_the_order_they_were_put_in)
{
        struct list head = LIST_INIT(head);
        struct thing things[5] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
        int next = 0;

        for (int i = 1; i < 4; i++)
                list_push_back(&head, &things[i].link);
        list_push_back(&head, &things[4].link);
        list_push_front(&head, &things[0].link);
        CHECK_EQ(length(&head), 5);
        list_for_each (it, &head)
                CHECK_EQ(list_entry(it, struct thing, link)->n, next++);
        CHECK_EQ(next, 5);
}

TEST(a_removed_link_can_be_put_in_again)
{
        struct list head = LIST_INIT(head);
        struct thing a = {.n = 1}, b = {.n = 2};

        list_push_back(&head, &a.link);
        list_push_back(&head, &b.link);
        list_remove(&a.link);
        list_remove(&a.link); /* twice is harmless */
        CHECK(!list_is_linked(&a.link));
        CHECK_EQ(first_of(&head), 2);
        CHECK_EQ(length(&head), 1);
        list_push_back(&head, &a.link);
        CHECK_EQ(length(&head), 2);
        list_remove(&b.link);
        CHECK_EQ(first_of(&head), 1);
        list_remove(&a.link);
        CHECK(list_is_empty(&head));
}

TEST(a_safe_walk_may_remove_where_it_stands)
{
        struct list head = LIST_INIT(head);
        struct thing things[6] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}, {.n = 5}};

        for (int i = 0; i < 6; i++)
                list_push_back(&head, &things[i].link);
        list_for_each_safe (it, &head) {
                if (list_entry(it, struct thing, link)->n % 2 == 0)
                        list_remove(it);
        }
        CHECK_EQ(length(&head), 3);
        CHECK_EQ(first_of(&head), 1);
        list_for_each_safe (it, &head)
                list_remove(it);
        CHECK(list_is_empty(&head));
}
