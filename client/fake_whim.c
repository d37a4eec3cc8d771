/* Design note. Each turn it reads or does not, answers or does not, and now and then it goes, alone
 * or with its address. What it says is well formed, but for its greeting: the rest of what a broker
 * may do wrong has tests of its own. */
#include "client/fake_whim.h"

#include <poll.h>
#include <sys/socket.h>

unsigned whim_pick(struct whim *w, unsigned n)
{
        w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned)(w->random >> 33) % n;
}

static void answer(struct whim *w, uint64_t id)
{
        unsigned how = whim_pick(w, 8);

        if (how == 0)
                fake_say(&w->h->f, fake_err(id, WIRE_CODE_REFUSED, "no"));
        else if (how > 2)
                fake_say(&w->h->f, fake_ok(id, 0, 1));
}

static struct message greeting(struct whim *w)
{
        struct message m = house_welcome(w->h);

        switch (whim_pick(w, 12)) {
        case 0:
                return fake_credit(1);
        case 1:
                return fake_bye(WIRE_CODE_LIMIT, "full");
        case 2:
                m.welcome.window = 262144;
                m.welcome.rights = 3;
                m.welcome.n_limits = 1; /* a frame is the limit */
        }
        return m;
}

static void hear(struct whim *w, const struct message *m)
{
        switch (m->type) {
        case WIRE_HELLO:
                fake_say(&w->h->f, greeting(w));
                break;
        case WIRE_SUB:
                answer(w, m->sub.id);
                break;
        case WIRE_INGRESS:
                w->id = m->ingress.flags & WIRE_INGRESS_CONFIRM ? m->ingress.id : 0;
                break;
        case WIRE_REQUEST:
                w->id = m->request.id;
                break;
        case WIRE_PING:
                fake_say(&w->h->f, (struct message){.type = WIRE_PONG, .number = m->number});
                break;
        case WIRE_BYE:
                fake_say(&w->h->f, fake_bye(WIRE_CODE_NONE, ""));
                break;
        case WIRE_PUB:
        case WIRE_END:
                if (w->id)
                        answer(w, w->id++);
                break;
        default:
                break;
        }
}

static void read_all(struct whim *w)
{
        struct fake *f = &w->h->f;
        struct message m;

        for (bool is_first = true; fake_next(f, &m); is_first = f->at == f->end) {
                w->id = is_first ? 0 : w->id;
                hear(w, &m);
        }
        if (f->left != f->window)
                fake_say(f, fake_credit(f->window - f->left));
}

static void talk(struct whim *w)
{
        struct fake *f = &w->h->f;
        struct message d = fake_delivery(1, w->sub ? w->sub : 1);

        switch (whim_pick(w, 8)) {
        case 0:
                fake_say(f, fake_reply(w->request ? w->request : 1, 0));
                fake_say(f, fake_pub("", "reply"));
                break;
        case 1:
                fake_say(f,
                        (struct message){.type = WIRE_GAP, .gap = {d.delivery.subs[0], 1, 1, 2}});
                break;
        case 2:
                fake_say(f, fake_bye(WIRE_CODE_SHUTDOWN, "stops"));
                break;
        case 3:
                fake_say(f, fake_ok(1 + whim_pick(w, 50), 0, 1 + whim_pick(w, 3)));
                break;
        default:
                d.delivery.token = whim_pick(w, 2);
                fake_say(f, d);
                fake_say(f, fake_pub("a", "x"));
        }
}

static void leave_session(struct whim *w)
{
        struct fake *f = &w->h->f;

        f->link = link_free(f->link);
        f->at = f->end = NULL;
        f->in_chunks = false;
        buf_clear(&f->out);
}

void whim_turn(struct whim *w)
{
        struct house *h = w->h;
        struct iovec iov;
        int fd;

        if (whim_pick(w, 40) == 0 && h->listener)
                house_leave(h);
        else if (whim_pick(w, 5) == 0 && !h->listener)
                house_enter(h);
        h->instance = (char)(h->instance + (whim_pick(w, 10) == 0));
        if (h->listener && !h->f.link && listener_accept(h->listener, &fd) == 0)
                CHECK_EQ(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &h->f.link), 0);
        if (!h->f.link)
                return;
        CHECK_EQ(link_allow_fds(h->f.link, true), 0);
        if (whim_pick(w, 4))
                read_all(w);
        if (h->f.b && h->f.b->link && whim_pick(w, 2))
                talk(w);
        if (whim_pick(w, 60) == 0)
                CHECK_EQ(shutdown(link_fd(h->f.link), SHUT_RD), 0);
        iov = (struct iovec){h->f.out.data, h->f.out.len};
        if (!h->f.out.len || link_send(h->f.link, &iov, 1, NULL, 0) == 0)
                buf_clear(&h->f.out);
        bool is_over =
                link_wait(h->f.link, POLLIN, 0) == 0 && h->f.at == h->f.end && whim_pick(w, 3) == 0;
        if (is_over || whim_pick(w, 15) == 0)
                leave_session(w);
}
