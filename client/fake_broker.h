/* fake_broker.h - a broker of a few lines, for tests: it says what it is told to say, frame by
 * frame, and shows what the client sent. It runs in the test's own thread: what a blocking call
 * waits for is sent before the call.
 *
 * It keeps the account of the publishing window, and fails the test when more is sent than was
 * granted (PROTOCOL.md part 6). */
#ifndef BATON_CLIENT_FAKE_BROKER_H
#define BATON_CLIENT_FAKE_BROKER_H

#include "client/handle.h"
#include "tests/harness/test.h"

struct fake {
        baton *b;
        struct link *link;
        struct buf out; /* the packet being put together */

        uint8_t in[WIRE_PACKET_BYTES]; /* the packet being read */
        const uint8_t *at, *end;
        struct fdset *fds;
        size_t n_packets;  /* received */
        size_t last_bytes; /* of the latest packet */

        uint64_t features;    /* as HELLO said */
        uint64_t window;      /* as WELCOME said */
        uint64_t left;        /* of it */
        uint64_t last_cost;   /* of the latest publication frame */
        uint64_t chunk_bytes; /* of the CHUNKs since BEGIN */
        bool in_chunks;
};

enum { FAKE_WINDOW = 1 << 20 };
enum { FAKE_RIGHTS = 0x7f };
enum { FAKE_LARGEST = 1 << 30 };

/* fake_open makes a handle and connects it to the fake; fake_close frees what is left of both. */
void fake_open(struct fake *f);
void fake_open_with(struct fake *f, uint64_t window, uint64_t rights);

/* fake_open_large: a broker that takes payloads of up to FAKE_LARGEST bytes, placed too if its
 * features say so; the handle gets `large` by baton_set_large. fake_open_over: by another
 * transport. */
void fake_open_large(struct fake *f, uint64_t features, size_t large);
void fake_open_over(struct fake *f, int socket_type, struct message welcome, size_t large);
void fake_close(struct fake *f);

/* fake_say adds a frame to the packet; fake_send sends it. fake_say_raw adds bytes. */
void fake_say(struct fake *f, struct message m);
void fake_say_raw(struct fake *f, const void *bytes, size_t n);
void fake_send(struct fake *f);
void fake_send_fds(struct fake *f, const struct fdset *fds);

/* Frames for fake_say. */
struct message fake_welcome(uint64_t window, uint64_t rights);
struct message fake_welcome_large(uint64_t window, uint64_t features);
struct message fake_ok(uint64_t id, uint64_t value, uint64_t n);
struct message fake_err(uint64_t id, uint64_t code, const char *text);
struct message fake_credit(uint64_t amount);
struct message fake_delivery(uint64_t seq, uint32_t sub);
struct message fake_reply(uint64_t request, uint64_t flags);
struct message fake_pub(const char *topic, const char *payload);
struct message fake_bye(uint64_t code, const char *text);

/* fake_deliver sends a packet of one publication. */
void fake_deliver(struct fake *f, uint64_t seq, uint32_t sub, const char *topic, const char *text);

/* fake_next takes the next frame that the client sent, from further packets if need be; false if
 * there is none. fake_expect checks that there is one, of this type. */
bool fake_next(struct fake *f, struct message *ret_m);
struct message fake_expect(struct fake *f, enum wire_type type);

/* fake_refund gives back all of the window that was used. */
void fake_refund(struct fake *f);

/* fake_skip reads all that there is, and returns how many frames of `type` were in it. */
size_t fake_skip(struct fake *f, enum wire_type type);

/* fake_fill makes the handle non-blocking and fills its way to the broker, who does not read. */
void fake_fill(struct fake *f);

/* fake_subscribe subscribes the handle (the broker agrees), and takes the SUB out. */
uint32_t fake_subscribe(struct fake *f, const char *filter, baton_message_fn fn, void *arg);

/* What callbacks write down, for tests to compare: "a;b;c;". */
struct notes {
        char text[4096];
        size_t len;
};

void note(struct notes *n, const char *format, ...) BT_PRINTF(2, 3);

/* A message callback that notes "topic=payload;", a reply "=payload;", and a done callback that
 * notes "done RESULT;". `arg` is a struct notes. */
void note_message(baton *b, const struct baton_message *m, void *arg);
void note_done(baton *b, int result, const char *text, void *arg);
void note_log(const char *text, void *arg);
void note_gap(baton *b, const struct baton_gap *gap, void *arg); /* "FILTER lost COUNT (REASON);" */

/* fake_enter_room makes an empty directory the current one, so that socket files have short names;
 * fake_leave_room removes it with all in it. */
void fake_enter_room(char room[32]);
void fake_leave_room(const char *room);

/* run calls baton_process until nothing more happens, and returns its last result. */
int run(struct fake *f);

bool slice_is(struct slice s, const char *text);

#endif
