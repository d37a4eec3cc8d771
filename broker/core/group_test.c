/* Groups share the work. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

TEST(each_publication_goes_to_one_member_and_turns_are_taken)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);
        struct client *all = fake_open(&f);

        fake_join(a, 1, "w.*", "g", 0);
        fake_join(b, 7, "w.*", "g", 0);
        fake_sub(all, 1, "w.*");
        for (uint64_t id = 1; id <= 10; id++) {
                fake_confirmed(pub, id, "w.x", "x");
                expect_ok(pub, id, 2); /* the group counts once */
        }
        CHECK_EQ(expect_pub(b, "w.x", "x")->delivery.subs[0], 7);
        CHECK_EQ(fake_count(a), 5);
        CHECK_EQ(fake_count(b), 4);
        CHECK_EQ(fake_count(all), 10);
        fake_deinit(&f);
}

TEST(groups_of_other_names_or_filters_are_other_groups)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *c = fake_open(&f);

        fake_join(c, 1, "w.*", "g", 0);
        fake_join(c, 2, "w.*", "h", 0);
        fake_join(c, 3, "w.>", "g", 0);
        fake_confirmed(pub, 1, "w.x", "x");
        expect_ok(pub, 1, 3);
        CHECK_EQ(fake_count(c), 3);
        fake_deinit(&f);
}

TEST(who_has_the_most_free_window_gets_the_next_one)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *small = fake_open(&f), *big = fake_open(&f);

        fake_join(small, 1, "w", "g", 1);
        fake_join(big, 1, "w", "g", 4);
        for (int i = 0; i < 4; i++)
                fake_pub(pub, "w", "x");
        CHECK_EQ(fake_count(big), 3 + (fake_count(small) == 0));
        fake_deinit(&f);
}

TEST(a_member_that_joins_takes_what_waits)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_join(a, 1, "w", "g", 1);
        fake_pub(pub, "w", "1");
        fake_pub(pub, "w", "2");
        fake_join(b, 1, "w", "g", 1);
        expect_pub(b, "w", "2");
        fake_deinit(&f);
}

TEST(a_member_that_leaves_leaves_the_rest_to_others)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_join(a, 1, "w", "g", 1);
        fake_join(b, 1, "w", "g", 1);
        for (int i = 0; i < 4; i++)
                fake_pub(pub, "w", "x");
        fake_close(a);
        CHECK_EQ(fake_count(b), 1);
        for (int i = 0; i < 2; i++)
                fake_give_back(b, 1, 1);
        CHECK_EQ(fake_count(b), 2);
        fake_close(b);
        fake_confirmed(pub, 1, "w", "x");
        expect_ok(pub, 1, 0);
        fake_deinit(&f);
}

TEST(what_waits_when_the_last_member_leaves_is_discarded)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=2");
        struct client *pub = fake_open(&f), *a = fake_open(&f);

        fake_join(a, 1, "w", "g", 1);
        for (uint64_t id = 1; id <= 5; id++)
                fake_confirmed(pub, id, "w", "x");
        fake_forget(pub);
        say_unsub(a, ++a->last_id, 1);
        fake_go(a);
        CHECK_EQ(fake_report(&f, "discarded"), 2);
        CHECK_EQ(fake_report(&f, "parked"), 0);
        expect_ok(pub, 4, 0);
        expect_ok(pub, 5, 0);
        fake_forget(a);
        fake_deinit(&f);
}

TEST(a_request_goes_to_one_member_of_each_group)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *a = fake_open(&f), *b = fake_open(&f);

        fake_join(a, 1, "svc", "g", 1);
        fake_join(b, 1, "svc", "g", 1);
        uint64_t first = fake_ask(asker, 1, 0, "svc", b);
        uint64_t second = fake_ask(asker, 2, 0, "svc", a);
        CHECK(first && second);
        fake_reply(b, first, 0, 0, "from b");
        expect_pub(asker, "", "from b");
        fake_close(a);
        expect_err(asker, 2, WIRE_CODE_RESPONDER_GONE);
        fake_deinit(&f);
}

TEST(who_gets_a_request_twice_answers_it_once)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_sub(svc, 1, "svc");
        fake_join(svc, 2, "svc", "g", 1);
        fake_join(svc, 3, "svc", "h", 1);
        uint64_t token = fake_ask(asker, 1, 0, "svc", svc);
        CHECK(token);
        CHECK_EQ(fake_count(svc), 2);
        fake_reply(svc, token, 0, 0, "!");
        expect_pub(asker, "", "!");
        expect_nothing(asker);
        fake_deinit(&f);
}

TEST(a_request_that_waits_for_a_window_ends_as_any_other)
{
        struct fake f;
        fake_init(&f);
        struct client *asker = fake_open(&f), *svc = fake_open(&f);

        fake_join(svc, 1, "svc", "g", 1);
        uint64_t first = fake_ask(asker, 1, 0, "svc", svc);
        for (uint64_t id = 2; id <= 5; id++)
                CHECK_EQ(fake_ask(asker, id, id == 3 ? 100 : 0, "svc", svc), 0);
        say_number(asker, WIRE_CANCEL, 2);
        fake_go(asker);
        expect_err(asker, 2, WIRE_CODE_CANCELLED);
        fake_tick(&f, 101);
        expect_err(asker, 3, WIRE_CODE_TIMEOUT);
        fake_reply(svc, first, 0, 0, "1");
        expect_pub(asker, "", "1");
        fake_give_back(svc, 1, 1);
        struct got *g = expect_pub(svc, "svc", "?");
        fake_reply(svc, g->delivery.token, 0, 0, "4");
        expect_pub(asker, "", "4");
        fake_close(svc); /* with the fifth still waiting */
        expect_err(asker, 5, WIRE_CODE_NO_RESPONDERS);
        fake_deinit(&f);
}

TEST(a_publisher_that_wants_no_echo_is_passed_over)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f), *b = fake_open(&f);

        fake_join(a, 1, "w", "g", 4);
        say_ingress(a, WIRE_INGRESS_NO_ECHO | WIRE_INGRESS_CONFIRM, ++a->last_id);
        say_pub(a, "w", "nobody");
        fake_go(a);
        expect_ok(a, a->last_id, 0);
        fake_join(b, 1, "w", "g", 1);
        for (int i = 0; i < 3; i++) {
                say_ingress(a, WIRE_INGRESS_NO_ECHO, 0);
                say_pub(a, "w", "x");
                fake_go(a);
        }
        expect_pub(b, "w", "x");
        expect_nothing(a);
        fake_give_back(b, 1, 2);
        CHECK_EQ(fake_count(b), 2);
        fake_deinit(&f);
}

TEST(what_only_its_publisher_could_take_holds_up_nobody)
{
        struct fake f;
        fake_init(&f);
        struct client *a = fake_open(&f), *b = fake_open(&f), *pub = fake_open(&f);

        fake_join(a, 1, "w", "g", 1);
        fake_join(b, 1, "w", "g", 1);
        for (int i = 0; i < 2; i++) { /* one for b, one waits */
                say_ingress(a, WIRE_INGRESS_NO_ECHO, 0);
                say_pub(a, "w", "x");
                fake_go(a);
        }
        fake_pub(pub, "w", "for a");
        expect_pub(a, "w", "for a");
        CHECK_EQ(fake_count(b), 1);
        fake_close(b);
        expect_nothing(a);
        CHECK_EQ(fake_report(&f, "waiting"), 0);
        CHECK_EQ(fake_report(&f, "discarded"), 1);
        fake_deinit(&f);
}

TEST(what_only_its_publisher_could_take_does_not_wait_for_room_either)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *a = fake_open(&f), *b = fake_open(&f), *pub = fake_open(&f);

        fake_join(a, 1, "w", "g", 1);
        fake_join(b, 1, "w", "g", 1);
        for (uint64_t id = 5; id < 8; id++) { /* one for b, one waits, one waits for room */
                say_ingress(a, WIRE_INGRESS_NO_ECHO | WIRE_INGRESS_CONFIRM, id);
                say_pub(a, "w", "x");
                fake_go(a);
        }
        expect_ok(a, 5, 1);
        expect_ok(a, 6, 1);
        expect_nothing(a);
        fake_close(b);
        expect_ok(a, 7, 0);
        fake_pub(pub, "w", "for a");
        expect_pub(a, "w", "for a");
        fake_deinit(&f);
}

TEST(groups_get_no_retained_values)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        say_ingress(c, WIRE_INGRESS_RETAIN, 0);
        say_pub(c, "w", "x");
        fake_go(c);
        fake_join(c, 1, "w", "g", 0);
        expect_nothing(c);
        fake_join(c, 2, "w", NULL, 3);
        expect_pub(c, "w", "x");
        fake_deinit(&f);
}

TEST(descriptors_wait_with_their_message)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *w = fake_open(&f);

        fake_join(w, 1, "w", "g", 1);
        fake_pub(pub, "w", "first");
        say_fds(pub, "w", 2, "x");
        fake_send(pub, 2);
        CHECK_EQ(fake_report(&f, "descriptors"), 2);
        fake_close(w);
        CHECK_EQ(fake_report(&f, "descriptors"), 0);
        fake_deinit(&f);
}

TEST(a_group_needs_a_name_and_the_right_to_join)
{
        struct fake f;
        fake_init(&f);
        core_free(f.core);
        f.config.rights = 0xff & ~(uint64_t)WIRE_RIGHT_GROUP;
        CHECK_EQ(core_new(&f.config, f.now_ns, &f.core), 0);
        struct client *c = fake_open(&f);

        say_bytes(c, "95 09 01 01 a1 61 81 a5 67 72 6f 75 70 a1 67");
        fake_go(c);
        expect_err(c, 1, WIRE_CODE_REFUSED);
        fake_deinit(&f);
        fake_init(&f);
        c = fake_open(&f);
        say_bytes(c, "95 09 01 01 a1 61 81 a5 67 72 6f 75 70 a3 67 2e 67"); /* g.g */
        fake_go(c);
        expect_err(c, 1, WIRE_CODE_BAD_TOPIC);
        fake_deinit(&f);
}
