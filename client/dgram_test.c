/* Publishing without a connection. The broker is a bare socket. */
#include "client/fake_broker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char address[] = "dgram:./d.sock";

static int open_receiver(void)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "d.sock"};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        CHECK(fd >= 0);
        CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        return fd;
}

/* One datagram as frames. */
struct datagram {
        uint8_t bytes[WIRE_PACKET_BYTES];
        const uint8_t *at, *end;
};

static void receive(int fd, struct datagram *d)
{
        ssize_t n = recv(fd, d->bytes, sizeof(d->bytes), MSG_DONTWAIT);

        CHECK(n > 0);
        d->at = d->bytes;
        d->end = d->bytes + n;
}

static struct message next(struct datagram *d, enum wire_type type)
{
        struct frame f;
        struct message m;

        CHECK(d->at < d->end);
        CHECK_EQ(scan_frame(&d->at, d->end, &f), 0);
        CHECK_EQ(message_decode(&f, &m), 0);
        CHECK_EQ(m.type, type);
        return m;
}

TEST(each_publication_is_a_datagram)
{
        struct baton_header h = {.key = "k", .kind = BATON_BOOL};
        struct baton_publication p = {.topic = "a.b",
                .payload = "x",
                .payload_len = 1,
                .headers = &h,
                .n_headers = 1,
                .flags = BATON_RETAIN | BATON_NO_ECHO,
                .ttl_ms = 5};
        struct datagram d;
        char room[32];
        baton *b;

        fake_enter_room(room);
        int fd = open_receiver();
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, address, 1000), 0);
        CHECK(baton_is_connected(b));
        CHECK_STR(baton_address(b), address);
        CHECK_EQ(baton_session(b), 0);
        CHECK_EQ(baton_broker(b).pid, 0);
        CHECK_EQ(baton_connect(b, address, 0), -EISCONN);
        baton_cork(b);
        CHECK_EQ(baton_publish(b, "t", "1", 1), 0);
        CHECK_EQ(baton_publish(b, "t", "2", 1), 0);
        CHECK_EQ(baton_publish_with(b, &p), 0);
        CHECK_EQ(baton_uncork(b), 0);
        CHECK_EQ(baton_flush(b, 0), 0);
        receive(fd, &d);
        CHECK(slice_is(next(&d, WIRE_PUB).pub.payload, "1"));
        CHECK(d.at == d.end);
        receive(fd, &d);
        CHECK(slice_is(next(&d, WIRE_PUB).pub.payload, "2"));
        receive(fd, &d);
        struct message m = next(&d, WIRE_INGRESS);
        CHECK_EQ(m.ingress.flags, WIRE_INGRESS_RETAIN);
        CHECK_EQ(m.ingress.ttl_ms, 5);
        m = next(&d, WIRE_PUB);
        CHECK(slice_is(m.pub.topic, "a.b"));
        CHECK_EQ(m.pub.n_headers, 1);
        CHECK(d.at == d.end);
        CHECK_EQ(baton_close(b, 0), 0);
        CHECK(!baton_is_connected(b));
        CHECK_EQ(baton_publish(b, "t", "", 0), -ENOTCONN);
        CHECK_NULL(baton_free(b));
        close(fd);
        fake_leave_room(room);
}

TEST(what_fits_a_frame_fits_a_datagram)
{
        static char payload[WIRE_FRAME_BYTES];
        struct datagram d;
        char room[32];
        baton *b;

        fake_enter_room(room);
        int fd = open_receiver();
        CHECK_EQ(baton_new(&b), 0);
        baton_set_large(b, 10);
        CHECK_EQ(baton_connect(b, address, 1000), 0);
        CHECK_EQ(baton_publish(b, "t", payload, WIRE_FRAME_BYTES - 9), 0);
        receive(fd, &d);
        CHECK_EQ(next(&d, WIRE_PUB).pub.payload.len, WIRE_FRAME_BYTES - 9);
        CHECK_EQ(baton_publish(b, "t", payload, WIRE_FRAME_BYTES - 8), -EMSGSIZE);
        CHECK(strstr(baton_error(b), "frame_bytes"));
        CHECK_EQ(baton_publish(b, "t t", "", 0), -EINVAL);
        CHECK_NULL(baton_free(b));
        close(fd);
        fake_leave_room(room);
}

static void check_refused(baton *b, int r)
{
        CHECK_EQ(r, -EOPNOTSUPP);
        CHECK(strstr(baton_error(b), "publishing only: no answer comes back over dgram:"));
}

TEST(what_needs_a_session_is_refused)
{
        int fd_to_send = 0;
        struct baton_publication p = {.topic = "t"}, will = {.topic = "t", .flags = BATON_WILL};
        struct baton_publication fds = {.topic = "t", .fds = &fd_to_send, .n_fds = 1};
        struct notes notes = {.len = 0};
        char room[32];
        baton *b;

        fake_enter_room(room);
        int fd = open_receiver();
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, address, 1000), 0);
        check_refused(b, baton_subscribe(b, "a", NULL, note_message, &notes, NULL));
        check_refused(b, baton_subscribe_start(b, "a", NULL, note_message, NULL, &notes, NULL));
        check_refused(b, baton_publish_confirm(b, &p, note_done, &notes));
        check_refused(b, baton_publish_wait(b, &p, 0));
        check_refused(b, baton_request(b, &p, 0, NULL, NULL));
        check_refused(b, baton_request_start(b, &p, 0, NULL, note_done, &notes, NULL));
        check_refused(b, baton_reply(b, 5, "", 0));
        check_refused(b, baton_begin(b, &p, 0, NULL, NULL));
        check_refused(b, baton_write(b, "", 0));
        check_refused(b, baton_end(b));
        check_refused(b, baton_ping(b, 0));
        check_refused(b, baton_publish_with(b, &will));
        check_refused(b, baton_publish_with(b, &fds));
        check_refused(b, baton_wait(b, -1));
        baton_abandon(b);
        CHECK_EQ(baton_unsubscribe(b, 1), -ENOENT);
        CHECK_EQ(baton_cancel(b, 1), -ENOENT);
        CHECK_EQ(baton_events(b), 0);
        CHECK_EQ(baton_timeout(b), -1);
        CHECK_EQ(baton_process(b), 0);
        CHECK_NULL(baton_free(b));
        CHECK_STR(notes.text, "");
        close(fd);
        fake_leave_room(room);
}

TEST(a_full_receiver_is_told_at_once_and_nothing_is_kept)
{
        struct datagram d;
        char room[32];
        baton *b;
        int r, n = 0, more = 0;

        fake_enter_room(room);
        int fd = open_receiver();
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, address, 1000), 0);
        while ((r = baton_publish(b, "t", "x", 1)) == 0)
                n++;
        CHECK_EQ(r, -EAGAIN);
        CHECK(strstr(baton_error(b), "full"));
        CHECK(n > 0);
        for (int i = 0; i < n; i++)
                receive(fd, &d);
        CHECK_EQ(recv(fd, d.bytes, 1, MSG_DONTWAIT), -1);
        while (baton_publish(b, "t", "x", 1) == 0)
                more++;
        CHECK_EQ(more, n);
        CHECK_NULL(baton_free(b));
        close(fd);
        fake_leave_room(room);
}

TEST(a_receiver_that_is_gone_ends_it)
{
        char room[32];
        baton *b;

        fake_enter_room(room);
        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect(b, address, 100), -ECONNREFUSED);
        CHECK(strstr(baton_error(b), "is the broker running?"));
        int fd = open_receiver();
        CHECK_EQ(baton_connect(b, "@nobody,dgram:./d.sock", 1000), 0);
        close(fd);
        CHECK_EQ(baton_publish(b, "t", "", 0), -ENOTCONN);
        CHECK(strstr(baton_error(b), "nobody reads there any more"));
        CHECK(!baton_is_connected(b));
        CHECK_EQ(baton_publish(b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(baton_wait(b, -1), -ENOTCONN);
        CHECK_EQ(unlink("d.sock"), 0);
        fd = open_receiver();
        CHECK_EQ(baton_connect(b, address, 1000), 0);
        CHECK_EQ(baton_publish(b, "t", "", 0), 0);
        CHECK_NULL(baton_free(b));
        close(fd);
        fake_leave_room(room);
}

TEST(a_handle_may_go_from_one_kind_of_connection_to_the_other)
{
        struct notes notes = {.len = 0};
        struct link *link;
        char room[32];
        struct fake f;

        fake_enter_room(room);
        int fd = open_receiver();
        fake_open(&f);
        (void)fake_subscribe(&f, "a", note_message, &notes);
        fake_deliver(&f, 1, 1, "a", "1");
        f.link = link_free(f.link);
        CHECK_EQ(run(&f), -ENOTCONN);
        CHECK_EQ(baton_connect(f.b, address, 1000), 0);
        CHECK_STR(notes.text, "a=1;");
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(baton_close(f.b, 0), 0);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f.link), 0);
        fake_say(&f, fake_welcome(FAKE_WINDOW, FAKE_RIGHTS));
        fake_send(&f);
        CHECK_EQ(handle_adopt_link(f.b, link, "@again", 1000), 0);
        (void)fake_expect(&f, WIRE_HELLO);
        CHECK_EQ(fake_subscribe(&f, "a", note_message, &notes), 2);
        fake_close(&f);
        close(fd);
        fake_leave_room(room);
}
