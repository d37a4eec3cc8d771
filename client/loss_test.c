#include "client/fake_broker.h"

#include <errno.h>
#include <string.h>

/* One of everything that waits for an answer. */
static void start_all(struct fake *f, struct notes *notes)
{
        struct baton_publication p = {.topic = "t"};

        CHECK_EQ(baton_publish_confirm(f->b, &p, note_done, notes), 0);
        CHECK_EQ(baton_subscribe_start(f->b, "s", NULL, note_message, note_done, notes, NULL), 0);
        CHECK_EQ(baton_request_start(f->b, &p, 0, note_message, note_done, notes, NULL), 0);
}

static const char all_lost[] = "done -107;done -107;done -107;";

static void hang_up(struct fake *f)
{
        (void)fake_skip(f, WIRE_PUB);
        f->link = link_free(f->link);
}

TEST(a_broker_that_goes_ends_everything_once)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        start_all(&f, &notes);
        hang_up(&f);
        CHECK_EQ(run(&f), -ENOTCONN);
        CHECK_STR(notes.text, all_lost);
        CHECK_STR(baton_error(f.b), "@fake: the broker is gone");
        CHECK(!baton_is_connected(f.b));
        CHECK_EQ(baton_process(f.b), -ENOTCONN);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(baton_timeout(f.b), -1);
        fake_close(&f);
        CHECK_STR(notes.text, all_lost);
}

TEST(the_brokers_last_word_is_the_reason)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        start_all(&f, &notes);
        fake_say(&f, fake_bye(WIRE_CODE_STALLED, "did not read for 30 s"));
        fake_send(&f);
        CHECK_EQ(run(&f), -ENOTCONN);
        CHECK_STR(baton_error(f.b), "@fake: did not read for 30 s");
        CHECK_EQ(baton_code(f.b), WIRE_CODE_STALLED);
        CHECK_STR(notes.text, all_lost);
        fake_close(&f);
}

TEST(a_publish_that_fails_reads_on_for_the_reason_and_what_came_before_is_dispatched)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        start_all(&f, &notes);
        fake_deliver(&f, 1, sub, "a", "1");
        fake_say(&f, fake_reply(4, 0));
        fake_say(&f, fake_pub("", "just in time"));
        fake_send(&f);
        fake_say(&f, fake_bye(WIRE_CODE_SHUTDOWN, "the broker stops"));
        fake_send(&f);
        /* Gone with unread input: the next send fails, the packets are still there. */
        f.link = link_free(f.link);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -ENOTCONN);
        CHECK_STR(baton_error(f.b), "@fake: the broker stops");
        CHECK_EQ(baton_code(f.b), WIRE_CODE_SHUTDOWN);
        CHECK_STR(notes.text, "");
        CHECK_EQ(baton_timeout(f.b), 0);
        CHECK_EQ(run(&f), -ENOTCONN);
        CHECK_STR(notes.text, "a=1;=just in time;done 0;done -107;done -107;");
        fake_close(&f);
}

TEST(a_request_that_is_cancelled_after_the_loss_ends_once)
{
        struct baton_publication p = {.topic = "t"};
        struct notes notes = {.len = 0};
        struct fake f;
        uint64_t id;

        fake_open(&f);
        CHECK_EQ(baton_request_start(f.b, &p, 0, note_message, note_done, &notes, &id), 0);
        f.link = link_free(f.link);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(baton_cancel(f.b, id), 0);
        CHECK_EQ(run(&f), -ENOTCONN);
        CHECK_STR(notes.text, "done -125;");
        fake_close(&f);
}

TEST(blocking_calls_return_when_the_broker_goes)
{
        struct baton_publication p = {.topic = "t"};
        struct fake f;

        for (int i = 0; i < 5; i++) {
                fake_open_with(&f, 1000, FAKE_RIGHTS);
                f.link = link_free(f.link);
                int r = i == 0   ? baton_publish_wait(f.b, &p, -1)
                        : i == 1 ? baton_request(f.b, &p, 0, NULL, NULL)
                        : i == 2 ? baton_subscribe(f.b, "a", NULL, note_message, NULL, NULL)
                        : i == 3 ? baton_ping(f.b, -1)
                                 : baton_close(f.b, -1);
                CHECK_EQ(r, -ENOTCONN);
                CHECK_STR(baton_error(f.b), "@fake: the broker is gone");
                fake_close(&f);
        }
}

TEST(freeing_the_handle_ends_everything_once)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        start_all(&f, &notes);
        f.b = baton_free(f.b);
        CHECK_STR(notes.text, all_lost);
        /* What had been gathered has been sent. */
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 2);
        fake_close(&f);
}

static void free_it(baton *b, const struct baton_message *m, void *arg)
{
        struct fake *f = arg;

        CHECK(m->payload_len > 0);
        CHECK_EQ(baton_publish(b, "last", "word", 4), 0);
        f->b = baton_free(b);
        /* What was lent is still there. */
        CHECK_EQ(((const char *)m->payload)[0], 'x');
}

static void free_it_done(baton *b, int result, const char *text, void *arg)
{
        struct fake *f = arg;

        (void)result;
        (void)text;
        if (f->b)
                f->b = baton_free(b);
}

TEST(a_handle_may_be_freed_in_the_callback_of_a_message)
{
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", free_it, &f);
        baton *b = f.b;
        fake_say(&f, fake_delivery(1, sub));
        fake_say(&f, fake_pub("a", "x"));
        fake_say(&f, fake_pub("a", "y"));
        fake_send(&f);
        fake_deliver(&f, 3, sub, "a", "z");
        CHECK_EQ(baton_process(b), -ENOTCONN);
        CHECK_NULL(f.b);
        CHECK(slice_is(fake_expect(&f, WIRE_PUB).pub.payload, "word"));
        fake_close(&f);
}

TEST(a_handle_may_be_freed_in_the_callback_of_an_answer)
{
        struct baton_publication p = {.topic = "t"};
        struct fake f;

        fake_open(&f);
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish_confirm(f.b, &p, free_it_done, &f), 0);
        fake_say(&f, fake_ok(1, 0, 3));
        fake_send(&f);
        CHECK_EQ(baton_wait(f.b, -1), -ENOTCONN);
        CHECK_NULL(f.b);
        fake_close(&f);
}

TEST(a_handle_may_be_freed_while_a_request_waits)
{
        struct baton_publication p = {.topic = "svc"};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", free_it, &f);
        fake_deliver(&f, 1, sub, "a", "x");
        CHECK_EQ(baton_request(f.b, &p, 0, NULL, NULL), -ENOTCONN);
        CHECK_NULL(f.b);
        fake_close(&f);
}

static void reconnect(baton *b, const struct baton_message *m, void *arg)
{
        struct fake *f = arg;
        struct link *link;

        CHECK_EQ(m->seq, 1);
        f->link = link_free(f->link);
        CHECK_EQ(baton_ping(b, -1), -ENOTCONN);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f->link), 0);
        fake_say(f, fake_welcome(FAKE_WINDOW, 1));
        fake_send(f);
        CHECK_EQ(handle_adopt_link(b, link, "@again", 1000), 0);
}

TEST(a_handle_may_be_connected_anew_in_a_callback)
{
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", reconnect, &f);
        fake_say(&f, fake_delivery(1, sub));
        fake_say(&f, fake_pub("a", "x"));
        fake_say(&f, fake_pub("a", "of the old session"));
        fake_send(&f);
        CHECK(run(&f) >= 0);
        CHECK_STR(baton_address(f.b), "@again");
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        (void)fake_expect(&f, WIRE_HELLO);
        (void)fake_expect(&f, WIRE_PUB);
        fake_close(&f);
}

TEST(a_new_connection_comes_after_all_of_the_old_one)
{
        struct notes notes = {.len = 0};
        struct link *link;
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        start_all(&f, &notes);
        fake_deliver(&f, 1, sub, "a", "1");
        f.link = link_free(f.link);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f.link), 0);
        fake_say(&f, fake_welcome(FAKE_WINDOW, 1));
        fake_send(&f);
        CHECK_EQ(handle_adopt_link(f.b, link, "@again", 1000), 0);
        CHECK(!strncmp(notes.text, "a=1;", 4));
        CHECK_STR(notes.text + 4, all_lost);
        /* The old subscriptions are gone, their numbers are not used again. */
        fake_deliver(&f, 1, sub, "a", "2");
        CHECK_EQ(run(&f), 0);
        f.at = f.end;
        (void)fake_expect(&f, WIRE_HELLO);
        CHECK(fake_subscribe(&f, "a", note_message, &notes) > sub);
        fake_close(&f);
}

TEST(close_says_goodbye_and_waits_until_all_is_taken)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        baton_cork(f.b);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        fake_deliver(&f, 1, sub, "a", "1");
        fake_say(&f, fake_bye(0, ""));
        fake_send(&f);
        CHECK_EQ(baton_close(f.b, 1000), 0);
        CHECK_STR(notes.text, "a=1;");
        (void)fake_expect(&f, WIRE_PUB);
        CHECK_EQ(fake_expect(&f, WIRE_BYE).verdict.code, 0);
        CHECK(!baton_is_connected(f.b));
        CHECK_EQ(baton_close(f.b, 1000), -ENOTCONN);
        fake_close(&f);
}

TEST(close_gives_up_at_its_deadline)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        start_all(&f, &notes);
        CHECK_EQ(baton_close(f.b, 1), -ETIMEDOUT);
        CHECK_STR(notes.text, all_lost);
        CHECK(!baton_is_connected(f.b));
        fake_close(&f);
}

/* ---------------------------------------------------------------- broken brokers */

static const struct {
        const char *bytes;
        size_t len;
} malformed[] = {
        {"\xc1", 1},                          /* no msgpack */
        {"\x93\x07\x01", 3},                  /* cut off */
        {"\x05", 1},                          /* no array */
        {"\x90", 1},                          /* no type */
        {"\x92\x3f\x00", 3},                  /* unknown and critical */
        {"\x92\x07\x01", 3},                  /* OK without a value */
        {"\x95\x10\x00\xa1t\x80\xc4\x00", 8}, /* a publication without delivery */
        {"\x92\x17\x01", 3},                  /* half a delivery */
        {"\x95\x09\x01\x01\xa1t\x80", 7},     /* SUB, from a broker */
        {"\x94\x0b\x00\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 13}, /* too much credit */
        {"\x94\x07\x01\x00\xce\x7f\xff\xff\xff", 9},                  /* OK to a billion */
        {"\x92\x12\xc4\x00", 4},                                      /* CHUNK */
        {"\x92\x05\x01\xc1", 4},                                      /* a PING and rubbish */
};

TEST(malformed_bytes_end_the_connection_and_nothing_leaks)
{
        for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open(&f);
                start_all(&f, &notes);
                fake_say_raw(&f, malformed[i].bytes, malformed[i].len);
                fake_send(&f);
                CHECK_EQ(run(&f), -EPROTO);
                CHECK(strstr(baton_error(f.b), "broke the protocol"));
                CHECK_STR(notes.text, all_lost);
                CHECK_EQ(baton_process(f.b), -ENOTCONN);
                CHECK_EQ(fake_skip(&f, WIRE_BYE), 1);
                fake_close(&f);
        }
}

TEST(malformed_bytes_that_arrive_during_a_publish_end_it)
{
        for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
                struct fake f;
                fake_open_with(&f, 20, FAKE_RIGHTS);
                CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
                fake_say_raw(&f, malformed[i].bytes, malformed[i].len);
                fake_send(&f);
                f.link = link_free(f.link);
                CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), -ENOTCONN);
                CHECK(run(&f) < 0);
                fake_close(&f);
        }
}

TEST(what_a_later_broker_may_add_is_skipped)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open(&f);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        fake_say_raw(&f, "\x92\x41\xa1x", 4);            /* an ignorable frame */
        fake_say_raw(&f, "\x94\x06\x63\xc0\x80", 5);     /* PONG with more fields, of nobody */
        fake_say_raw(&f, "\x93\x07\xcd\x10\x00\x01", 6); /* OK for nobody */
        fake_deliver(&f, 1, sub, "a", "1");
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "a=1;");
        fake_close(&f);
}
