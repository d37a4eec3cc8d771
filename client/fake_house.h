/* fake_house.h - an address at which a fake broker comes and goes, for tests of connecting and of
 * coming back. The handle does not block: client and broker take turns in one thread. */
#ifndef BATON_CLIENT_FAKE_HOUSE_H
#define BATON_CLIENT_FAKE_HOUSE_H

#include "client/fake_broker.h"
#include "proto/link/listener.h"

struct house {
        struct fake f; /* `f.link` is the session, NULL: none */
        struct listener *listener;
        char address[64];
        char room[32];
        struct notes notes;           /* what callbacks told */
        uint64_t resumes, resume_seq; /* as the latest HELLO said */
        char instance;                /* the first byte of the broker's instance id */
        int n_done, result;           /* of done callbacks that house_done noted */
        char text[256];
};

/* house_open makes a handle and an address, where nobody is yet. house_close frees all. */
void house_open(struct house *h);
void house_close(struct house *h);

/* house_enter begins to listen; house_leave ends it, and the session: the broker is gone. */
void house_enter(struct house *h);
void house_leave(struct house *h);

/* house_turn is one turn of the client's loop, after waiting until there is something to do, and
 * the broker's answer to a HELLO, which is `welcome`. */
void house_turn(struct house *h, struct message welcome);
struct message house_welcome(const struct house *h);

/* house_meet takes turns until the handle is connected, house_await until `n` events or answers
 * have been told in all. */
void house_meet(struct house *h);
void house_await(struct house *h, const char *notes);

/* house_stay makes the handle one that stays connected, and notes its events: "LOST;", "BACK;",
 * "BACK other;", "READY;", "DENIED filter error;", "GONE error;", with "uncertain N;" and "dropped
 * N;" behind them. */
void house_stay(struct house *h, size_t keep_bytes);
/* house_begin: open, entered, stays connected, and READY. house_lose: the broker goes, the handle
 * has found out, and told `notes`. house_return: another instance comes, and the handle is back. */
void house_begin(struct house *h, size_t keep_bytes);
void house_lose(struct house *h, const char *notes);
void house_return(struct house *h);

/* A done callback that notes "done RESULT;" and keeps the text. */
void house_done(baton *b, int result, const char *text, void *house);
void house_event(baton *b, const struct baton_event *e, void *house);

#endif
