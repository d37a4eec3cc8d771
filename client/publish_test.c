#include "client/fake_broker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

TEST(a_publication_on_an_idle_handle_leaves_at_once)
{
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_publish(f.b, "a.b", "x", 1), 0);
        struct message m = fake_expect(&f, WIRE_PUB);
        CHECK(slice_is(m.pub.topic, "a.b"));
        CHECK(slice_is(m.pub.payload, "x"));
        CHECK_EQ(m.pub.n_headers, 0);
        CHECK_EQ(baton_events(f.b), POLLIN);
        fake_close(&f);
}

TEST(a_hand_written_publication_is_what_the_encoder_writes)
{
        static const size_t topic_lens[] = {1, 31, 32, 255};
        static const size_t payload_lens[] = {0, 1, 255, 256, 60000};
        static char topic[256], payload[60000];
        struct fake f;

        fake_open(&f);
        for (size_t i = 0; i < ARRAY_LEN(topic_lens) * ARRAY_LEN(payload_lens); i++) {
                struct buf want = BUF_INIT;
                size_t len = payload_lens[i % ARRAY_LEN(payload_lens)];
                size_t topic_len = topic_lens[i / ARRAY_LEN(payload_lens)];
                memset(topic, 't', topic_len);
                topic[topic_len] = '\0';
                struct message m = fake_pub(topic, "");
                m.pub.payload = (struct slice){(uint8_t *)payload, len};
                CHECK_EQ(message_encode(&want, &m), 0);
                CHECK_EQ(baton_publish(f.b, topic, payload, len), 0);
                CHECK_EQ(baton_flush(f.b, -1), 0);
                (void)fake_expect(&f, WIRE_PUB);
                CHECK_EQ(f.last_bytes, want.len);
                CHECK_BYTES(f.in, want.data, want.len);
                buf_deinit(&want);
        }
        fake_close(&f);
}

TEST(a_corked_thousand_is_a_few_full_packets)
{
        char payload[64] = "";
        struct fake f;

        fake_open(&f);
        baton_cork(f.b);
        baton_cork(f.b);
        for (int i = 0; i < 1000; i++)
                CHECK_EQ(baton_publish(f.b, "sensors.cabin.temp", payload, sizeof(payload)), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        CHECK_EQ(fake_skip(&f, WIRE_PUB) / 700, 1);
        CHECK_EQ(baton_uncork(f.b), 0);
        CHECK(fake_skip(&f, WIRE_PUB) > 0);
        CHECK_EQ(f.n_packets, 2);
        fake_close(&f);
}

TEST(a_run_of_one_topic_leaves_room_for_the_brokers_header)
{
        char payload[1000] = "";
        struct fake f;
        struct message m;

        fake_open(&f);
        baton_cork(f.b);
        for (int i = 0; i < 200; i++)
                CHECK_EQ(baton_publish(f.b, "t", payload, sizeof(payload)), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        while (fake_next(&f, &m))
                CHECK(f.last_bytes <= WIRE_FRAME_BYTES);
        fake_close(&f);
}

TEST(bad_topics_are_refused_here)
{
        static const char *const bad[] = {"", ".", "a..b", "a.*", ">", "a b", "\x01", "a.\xff"};
        struct fake f;

        fake_open(&f);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                CHECK_EQ(baton_publish(f.b, bad[i], "x", 1), -EINVAL);
                CHECK(strstr(baton_error(f.b), "is no topic: "));
        }
        CHECK_EQ(baton_publish(f.b, "good", "x", 1), 0);
        CHECK_EQ(baton_publish(f.b, "goo", "x", 1), 0);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 2);
        fake_close(&f);
}

TEST(a_payload_that_fits_no_frame_is_refused_by_the_name_of_the_limit)
{
        static char payload[WIRE_FRAME_BYTES + 1];
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_publish(f.b, "t", payload, sizeof(payload)), -EMSGSIZE);
        CHECK(strstr(baton_error(f.b), "frame_bytes"));
        /* 95 10 00 a1 74 80 c5 nn nn */
        CHECK_EQ(baton_publish(f.b, "t", payload, WIRE_FRAME_BYTES - 8), -EMSGSIZE);
        CHECK_EQ(baton_publish(f.b, "t", payload, WIRE_FRAME_BYTES - 9), 0);
        struct message m = fake_expect(&f, WIRE_PUB);
        CHECK_EQ(m.pub.payload.len, WIRE_FRAME_BYTES - 9);
        fake_close(&f);
}

TEST(an_unconnected_handle_says_so)
{
        struct baton_publication none = {.topic = NULL};
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_publish(b, "t", "x", 1), -ENOTCONN);
        CHECK_EQ(baton_publish(b, NULL, "x", 1), -EINVAL);
        CHECK_EQ(baton_publish_with(b, &none), -EINVAL);
        CHECK_EQ(baton_publish(b, "t", "", 0), -ENOTCONN);
        CHECK_STR(baton_error(b), "not connected: baton_connect comes first");
        CHECK_EQ(baton_process(b), -ENOTCONN);
        CHECK_EQ(baton_wait(b, 0), -ENOTCONN);
        CHECK_EQ(baton_ping(b, 0), -ENOTCONN);
        CHECK_EQ(baton_fd(b), -1);
        CHECK_NULL(baton_free(b));
        CHECK_NULL(baton_free(NULL));
}

TEST(ingress_is_said_only_where_it_changes)
{
        struct baton_publication plain = {.topic = "t"};
        struct baton_publication retain = {.topic = "t", .flags = BATON_RETAIN};
        struct baton_publication ttl = {.topic = "t", .ttl_ms = 5};
        struct fake f;

        fake_open(&f);
        baton_cork(f.b);
        CHECK_EQ(baton_publish_with(f.b, &plain), 0);
        CHECK_EQ(baton_publish_with(f.b, &retain), 0);
        CHECK_EQ(baton_publish_with(f.b, &retain), 0);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(baton_publish_with(f.b, &ttl), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.flags, WIRE_INGRESS_RETAIN);
        (void)fake_expect(&f, WIRE_PUB);
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.flags, 0);
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.ttl_ms, 5);
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(f.n_packets, 1);
        /* A new packet starts from nothing. */
        CHECK_EQ(baton_publish_with(f.b, &ttl), 0);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.ttl_ms, 5);
        (void)fake_expect(&f, WIRE_PUB);
        fake_close(&f);
}

TEST(a_run_of_confirms_needs_one_ingress)
{
        struct baton_publication p = {.topic = "t"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        baton_cork(f.b);
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        struct message m = fake_expect(&f, WIRE_INGRESS);
        CHECK_EQ(m.ingress.flags, WIRE_INGRESS_CONFIRM);
        CHECK_EQ(m.ingress.id, 1);
        for (int i = 0; i < 3; i++)
                (void)fake_expect(&f, WIRE_PUB);
        CHECK(!fake_next(&f, &m));
        fake_close(&f);
        CHECK_STR(notes.text, "done -107;done -107;done -107;");
}

TEST(a_request_or_reply_ends_what_was_in_force)
{
        struct baton_publication retain = {.topic = "t", .flags = BATON_RETAIN};
        struct fake f;

        fake_open(&f);
        baton_cork(f.b);
        CHECK_EQ(baton_publish_with(f.b, &retain), 0);
        CHECK_EQ(baton_reply(f.b, 77, "r", 1), 0);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(baton_publish_with(f.b, &retain), 0);
        CHECK_EQ(baton_uncork(f.b), 0);
        (void)fake_expect(&f, WIRE_INGRESS);
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(fake_expect(&f, WIRE_REPLY).reply.token, 77);
        CHECK_EQ(fake_expect(&f, WIRE_PUB).pub.topic.len, 0);
        (void)fake_expect(&f, WIRE_PUB);
        (void)fake_expect(&f, WIRE_INGRESS);
        (void)fake_expect(&f, WIRE_PUB);
        fake_close(&f);
}

TEST(confirms_are_answered_in_ranges_and_in_order)
{
        struct baton_publication p = {.topic = "t"};
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        for (int i = 0; i < 4; i++)
                CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), 0);
        fake_say(&f, fake_ok(1, 5, 2));
        fake_say(&f, fake_err(3, WIRE_CODE_REFUSED, "no"));
        fake_say(&f, fake_ok(4, 0, 1));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "done 5;done 5;done -13;done 0;");
        fake_close(&f);
        CHECK_STR(notes.text, "done 5;done 5;done -13;done 0;");
}

TEST(publish_wait_returns_the_number_of_receivers_or_why_not)
{
        struct baton_publication p = {.topic = "t"};
        struct fake f;

        fake_open(&f);
        fake_say(&f, fake_ok(1, 3, 1));
        fake_send(&f);
        CHECK_EQ(baton_publish_wait(f.b, &p, 1000), 3);
        fake_say(&f, fake_err(2, WIRE_CODE_LIMIT, "too many"));
        fake_send(&f);
        CHECK_EQ(baton_publish_wait(f.b, &p, 1000), -EDQUOT);
        CHECK_STR(baton_error(f.b), "@fake: too many");
        CHECK_EQ(baton_code(f.b), WIRE_CODE_LIMIT);
        CHECK_EQ(baton_publish_wait(f.b, &p, 1), -ETIMEDOUT);
        /* An answer that comes too late is ignored. */
        fake_say(&f, fake_ok(3, 1, 1));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        fake_close(&f);
}

TEST(a_refused_publication_without_confirm_is_told_to_the_log)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        baton_set_log(f.b, note_log, &notes);
        fake_say(&f, fake_err(0, WIRE_CODE_REFUSED, "$sys.x: belongs to the broker"));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "refused: $sys.x: belongs to the broker;");
        fake_close(&f);
}

TEST(flags_go_where_they_belong)
{
        struct baton_publication will = {.flags = BATON_WILL, .topic = "gone"};
        struct baton_publication no_will = {.flags = BATON_WILL, .topic = ""};
        struct baton_publication bad = {.flags = BATON_MORE, .topic = "t"};
        struct baton_publication part = {.flags = BATON_MORE | BATON_FAILED};
        struct baton_publication bad_reply = {.flags = BATON_RETAIN};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_publish_with(f.b, &will), 0);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.flags, WIRE_INGRESS_WILL);
        (void)fake_expect(&f, WIRE_PUB);
        baton_set_no_echo(f.b, true);
        CHECK_EQ(baton_publish_with(f.b, &no_will), 0);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.flags,
                WIRE_INGRESS_WILL | WIRE_INGRESS_NO_ECHO);
        CHECK_EQ(fake_expect(&f, WIRE_PUB).pub.topic.len, 0);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(fake_expect(&f, WIRE_INGRESS).ingress.flags, WIRE_INGRESS_NO_ECHO);
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(baton_publish_with(f.b, &bad), -EINVAL);
        CHECK_EQ(baton_reply_with(f.b, 1, &bad_reply), -EINVAL);
        CHECK_EQ(baton_reply_with(f.b, 0, &part), -ESTALE);
        CHECK_EQ(baton_reply_with(f.b, 1, &part), 0);
        CHECK_EQ(
                fake_expect(&f, WIRE_REPLY).reply.flags, WIRE_DELIVERY_MORE | WIRE_DELIVERY_FAILED);
        fake_close(&f);
}

TEST(headers_arrive_as_they_were_given)
{
        struct baton_header h[] = {
                {.key = "n", .kind = BATON_NIL},
                {.key = "b", .kind = BATON_BOOL, .value.boolean = true},
                {.key = "i", .kind = BATON_INT, .value.i = -5},
                {.key = "j", .kind = BATON_INT, .value.i = 5},
                {.key = "u", .kind = BATON_UINT, .value.u = UINT64_MAX},
                {.key = "f", .kind = BATON_FLOAT, .value.f = 1.5},
                {.key = "s", .kind = BATON_STR, .value.bytes = {"text", 4}},
                {.key = "x", .kind = BATON_BIN, .value.bytes = {"\0\1", 2}},
        };
        struct baton_publication p = {.topic = "t",
                .headers = h,
                .n_headers = ARRAY_LEN(h),
                .payload = "p",
                .payload_len = 1};
        struct fake f;

        fake_open(&f);
        CHECK_EQ(baton_publish_with(f.b, &p), 0);
        struct message m = fake_expect(&f, WIRE_PUB);
        CHECK_EQ(m.pub.n_headers, ARRAY_LEN(h));
        CHECK(slice_is(m.pub.payload, "p"));
        h[1].key = "n";
        CHECK_EQ(baton_publish_with(f.b, &p), -EINVAL);
        h[1].key = "$b";
        CHECK_EQ(baton_publish_with(f.b, &p), -EINVAL);
        h[1].key = NULL;
        CHECK_EQ(baton_publish_with(f.b, &p), -EINVAL);
        CHECK(strstr(baton_error(f.b), "header"));
        fake_close(&f);
}
