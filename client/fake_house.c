/* Design note. The listener is a real one, at a path in a directory of the test's own. A broker
 * that leaves closes it, and the path is gone; another instance enters with another id. */
#include "client/fake_house.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

void house_open(struct house *h)
{
        memset(h, 0, sizeof(*h));
        fake_enter_room(h->room);
        snprintf(h->address, sizeof(h->address), "./broker.sock");
        h->instance = 'A';
        CHECK_EQ(baton_new(&h->f.b), 0);
        baton_set_nonblocking(h->f.b, true);
}

void house_close(struct house *h)
{
        fake_close(&h->f);
        h->listener = listener_close(h->listener);
        fake_leave_room(h->room);
}

void house_enter(struct house *h)
{
        struct address_why bad;
        struct listener_why why;
        struct address a;

        CHECK_EQ(address_parse(h->address, ADDRESS_BROKER, &a, &bad), 0);
        CHECK_EQ(listener_open(&a, 16, &h->listener, &why), 0);
}

void house_leave(struct house *h)
{
        h->listener = listener_close(h->listener);
        h->f.link = link_free(h->f.link);
        h->f.at = h->f.end = NULL;
        h->f.in_chunks = false;
}

struct message house_welcome(const struct house *h)
{
        static uint8_t instance[WIRE_INSTANCE_BYTES] = "?123456789abcdef";
        struct message m = fake_welcome_large(FAKE_WINDOW, 0);

        instance[0] = (uint8_t)h->instance;
        m.welcome.instance.data = instance;
        return m;
}

static void greet(struct house *h, struct message welcome)
{
        struct message m;
        int fd;

        if (h->listener && !h->f.link && listener_accept(h->listener, &fd) == 0)
                CHECK_EQ(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &h->f.link), 0);
        if (!h->f.link || h->f.b->link || !fake_next(&h->f, &m))
                return;
        CHECK_EQ(m.type, WIRE_HELLO);
        h->resumes = m.hello.resume_session;
        h->resume_seq = m.hello.resume_seq;
        CHECK_EQ(link_allow_fds(h->f.link, true), 0);
        fake_say(&h->f, welcome);
        fake_send(&h->f);
}

void house_turn(struct house *h, struct message welcome)
{
        baton *b = h->f.b;
        struct pollfd pfd = {.fd = baton_fd(b), .events = baton_events(b)};

        greet(h, welcome);
        CHECK(poll(&pfd, pfd.fd >= 0, baton_timeout(b)) >= 0);
        int r = baton_process(b);
        if (r < 0)
                note(&h->notes, "process %d;", r);
}

void house_meet(struct house *h)
{
        while (!baton_is_connected(h->f.b))
                house_turn(h, house_welcome(h));
}

void house_await(struct house *h, const char *notes)
{
        while (strlen(h->notes.text) < strlen(notes))
                house_turn(h, house_welcome(h));
        CHECK_STR(h->notes.text, notes);
        h->notes = (struct notes){.len = 0};
}

void house_event(baton *b, const struct baton_event *e, void *house)
{
        static const char *const names[] = {"?", "LOST", "BACK", "READY", "DENIED", "GONE"};
        struct house *h = house;

        (void)b;
        CHECK_PTR(e->text);
        note(&h->notes, "%s", names[e->change]);
        if (e->other_instance)
                note(&h->notes, " other");
        if (e->filter)
                note(&h->notes, " %s", e->filter);
        if (e->error && e->change != BATON_LOST)
                note(&h->notes, " %d", e->error);
        if (e->uncertain)
                note(&h->notes, " uncertain %d", (int)e->uncertain);
        if (e->change == BATON_BACK && e->missed >= 0)
                note(&h->notes, " missed %d", (int)e->missed);
        if (e->dropped)
                note(&h->notes, " dropped %d", (int)e->dropped);
        note(&h->notes, ";");
        snprintf(h->text, sizeof(h->text), "%s", e->text);
}

void house_stay(struct house *h, size_t keep_bytes)
{
        struct baton_reconnect o = {
                .first_ms = 1,
                .most_ms = 2,
                .keep_bytes = keep_bytes,
                .on_event = house_event,
                .arg = h,
        };

        CHECK_EQ(baton_set_reconnect(h->f.b, &o), 0);
}

void house_begin(struct house *h, size_t keep_bytes)
{
        house_open(h);
        house_enter(h);
        house_stay(h, keep_bytes);
        CHECK_EQ(baton_connect_start(h->f.b, h->address, -1, NULL, NULL), 0);
        house_meet(h);
        house_await(h, "READY;");
}

void house_lose(struct house *h, const char *notes)
{
        house_leave(h);
        house_await(h, notes);
        CHECK(baton_is_away(h->f.b));
}

void house_return(struct house *h)
{
        h->instance++;
        house_enter(h);
        house_meet(h);
}

void house_done(baton *b, int result, const char *text, void *house)
{
        struct house *h = house;

        (void)b;
        note(&h->notes, "done %d;", result);
        snprintf(h->text, sizeof(h->text), "%s", text);
}
