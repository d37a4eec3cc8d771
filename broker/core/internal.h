/* internal.h - what the files of the core offer each other. The structures are in model.h.
 *
 * A publication goes input → publish → (route) → admit → queue → out, or waits in `parked` in front
 * of admit. One file per step. */
#ifndef BATON_BROKER_CORE_INTERNAL_H
#define BATON_BROKER_CORE_INTERNAL_H

#include "broker/core/model.h"

/* When so many milliseconds have passed. */
static inline uint64_t core_in_ms(const struct core *c, uint64_t ms)
{
        return c->now_ns + ms * UINT64_C(1000000);
}

/* msg.c */
/* msg_new copies `len` bytes. Returns NULL without memory. */
struct msg *msg_new(const void *data, size_t len);
struct msg *msg_ref(struct msg *m);
void msg_unref(struct msg *m);
/* msg_of_broker makes one of `pub`, a frame with a topic of less than 32 bytes that the broker has
 * encoded itself; its sender is missing. Returns NULL without memory. msg_decode decodes a
 * publication again; the slices borrow from it. Returns 0 · another outcome: cannot be, it was
 * decoded before. */
struct msg *msg_of_broker(const struct core *c, const struct buf *pub, size_t topic_len);
BT_MUST int msg_decode(const struct msg *m, struct msg_pub *ret_pub);
/* msg_take_fds gives `fds` (NULL: none) to a new msg, and charges them to `payer`. msg_user_fds is
 * what its sender wants to hand over: the descriptor that only holds the payload is not counted. */
void msg_take_fds(struct msg *m, struct fdset *fds, struct account *payer);
uint32_t msg_user_fds(const struct msg *m);
/* msg_share_fds: `m`, which is new, has the descriptors of another. */
void msg_share_fds(struct msg *m, struct msg *original);
bool subset_is_same(const struct subset *a, const struct subset *b); /* NULL: none */
void subset_unref(struct subset *s);
struct subset *subset_of_one(uint32_t number); /* NULL without memory */

/* sub.c. sub_takes_turns: it has a group, or a window. sub_may_block: a subscription of `s` to
 * `filter` may hold up its publishers. sub_new makes what SUB asks for, which was
 * judged before, and puts it where publications find it. Returns 0 · -ENOMEM. */
bool sub_takes_turns(const struct msg_sub *m);
bool sub_may_block(const struct core *c, const struct session *s, struct slice filter);
struct sub *sub_find(const struct core *c, const struct session *s, uint64_t number);
BT_MUST int sub_new(
        struct core *c, struct session *s, const struct msg_sub *m, struct sub **ret_sub);
void sub_free(struct core *c, struct sub *sub);
/* sub_is_allowed: `s` may subscribe to `filter`, or join groups of it. */
bool sub_is_allowed(const struct core *c, const struct session *s, struct slice filter, bool group);
/* Within what the broker allows; 0: all of it. */
uint64_t sub_at_most(uint64_t wanted, uint64_t most);

/* session.c */
struct session *session_find(const struct core *c, struct session_id id);
void session_mark(struct core *c, struct session *s);
void session_end(struct core *c, struct session *s, enum wire_code code, const char *text);
/* At a limit, which is named behind the text, and counted as a refusal. */
void session_end_at(struct core *c, struct session *s, enum wire_code code, const char *text,
        const char *limit);
void session_refuse(struct core *c, struct session *s); /* it may not be here */
void session_is_ready(struct core *c, struct session *s);
void session_leave(struct core *c, struct session *s);
void session_strip(struct core *c, struct session *s);
/* session_keep_bye forgets the answers that the full socket of an ending session does not take:
 * there may be a little room for why it ends. */
void session_keep_bye(struct session *s);
void session_settle(struct core *c, struct session *s);
void session_free(struct core *c, struct session *s);

/* answer.c: frames that overtake the queue. Without memory, or beyond control_bytes, they end the
 * session: an answer is never lost in silence. */
void answer(struct core *c, struct session *s, const struct message *m);
void answer_ok(struct core *c, struct session *s, uint64_t id, uint64_t value);
/* answer_confirm: the same about `n` publications; those that say the same become one.
 * answer_gathered puts what is gathered so among the answers. Returns 0 · -ENOMEM. */
void answer_confirm(struct core *c, struct session *s, uint64_t id, uint64_t value, uint64_t n);
BT_MUST int answer_gathered(struct session *s);
void answer_err(struct core *c, struct session *s, uint64_t id, enum wire_code code,
        const char *limit, const char *format, ...) BT_PRINTF(6, 7);

/* The same ERR, in its place behind what is queued: the end of a request. */
void answer_err_in_order(struct core *c, struct session *s, uint64_t id, enum wire_code code,
        const char *limit, const char *text);
struct slice slice_of(const char *text);

/* control.c: everything a client sends but publications. */
void control_input(struct core *c, struct session *s, const struct message *m);
/* A SUB with an option that nobody knows. */
void control_unsupported(struct core *c, struct session *s, const struct message *m);
void control_hello(struct core *c, struct session *s, const struct message *m);

/* publish.c. What a receiver has no room for is parked; a publisher whose first parked
 * publication got through is put on core.runnable, a session that has ended on core.ended;
 * publish_resume, called last in every public call, lets the one go on and strips the other: so
 * nothing here recurses, and nothing vanishes while a publication is between its receivers. */
void publish_run(struct core *c, struct session *s, struct run *run); /* owns run->fds */
/* header_has_id: the publication under this header is to be answered. */
bool header_has_id(const struct header_state *h);
/* publish_refuse_topic answers a publication whose turn it is: its topic is none. */
void publish_refuse_topic(struct core *c, struct flight *f);
/* publish_refuse answers one publication that was charged `cost`, in its turn. */
void publish_refuse(struct core *c, struct session *s, const struct header_state *header,
        uint64_t cost, const struct refusal *why);
void publish_resume(struct core *c);
void publish_will(struct core *c, struct session *s);
void publish_credit(struct core *c, struct session *s, uint64_t bytes);

/* judge.c */
/* publish_cost is what PUB, BEGIN, CHUNK or END of `len` bytes takes of the window (part 6). */
uint64_t publish_cost(const struct core *c, size_t len, uint32_t n_fds, uint64_t payload_bytes);
/* judge_sender: may this session publish so, with `n_fds` descriptors for others? judge_run: and is
 * the publication what it says? Code NONE: yes. */
struct refusal judge_sender(const struct session *s, const struct header_state *h,
        const struct slice *topic, uint32_t n_fds);
struct refusal judge_run(const struct core *c, const struct session *s, const struct run *run);
/* judge_policy: may it publish this on `topic`? `burden` is what comes with it. */
struct burden {
        uint32_t n_fds; /* for others */
        bool is_placed, are_odd;
};
struct refusal judge_policy(const struct core *c, const struct session *s,
        const struct header_state *h, const struct slice *topic, const struct burden *b);

/* upload.c. A session between BEGIN and END has an upload. upload_begin owns its `fds`; what is
 * refused it answers. Returns 0 · -ENOMEM. upload_chunk and upload_end return a text if the session
 * has broken the protocol, else NULL. upload_drop forgets an upload, if there is one. */
struct begun {
        const struct header_state *header;
        const struct msg_pub *pub;
        uint64_t cost;
        struct fdset *fds;
        bool has_odd_fds, are_cut;
};
/* Also for what came without its descriptors: there were too many open to receive them. */
extern const struct refusal refusal_too_many_fds;
BT_MUST int upload_begin(struct core *c, struct session *s, const struct begun *b);
const char *upload_chunk(struct core *c, struct session *s, struct slice data, uint64_t cost);
const char *upload_end(struct core *c, struct session *s, bool is_given_up, uint64_t cost);
/* upload_cancel: CANCEL of a request that is not whole yet, if that is the upload. */
void upload_cancel(struct core *c, struct session *s, uint64_t id);
void upload_drop(struct core *c, struct session *s);
/* upload_timer: nothing has come of one for stall_ms. */
void upload_timer(struct core *c, struct timer *t);

/* admit.c */
/* admit_all offers `f` to every target of its route. Returns true if it is through, false if it
 * waits, parked. */
bool admit_all(struct core *c, struct flight *f, const struct targets *targets);
/* admit_park puts `f` at the end of what its publisher has waiting. Returns 0 · -ENOMEM. */
BT_MUST int admit_park(struct core *c, struct flight *f);
void admit_waiters(struct core *c, struct session *s); /* `s` has room again */
/* admit_finish: every receiver has it. */
void admit_finish(struct core *c, struct session *s, struct pub *pub, struct request *r);

/* park.c */
BT_MUST int park_new(struct core *c, struct session *s, const struct pub *pub, struct parked **ret);
/* park_split makes one of each publication of a run whose turn has come, in its place; for those
 * that there is no memory for, a refusal. */
void park_split(struct core *c, struct parked *p);
BT_MUST int park_add_pending(struct parked *p, const struct target *t, uint32_t most);
void park_resolve(struct core *c, struct pending *pending);
void park_forget_receiver(struct core *c, struct session *s); /* nobody reads `s` any more */
void park_free(struct core *c, struct parked *p);

/* queue.c. load_add adds a message to a load, or with UINT64_MAX for `sign` takes it out.
 * queue_first: of a queue that is not empty. */
void load_add(struct load *l, const struct msg *m, uint64_t sign);
struct entry *queue_first(const struct session *s);
bool queue_has_room(const struct core *c, const struct session *s, const struct msg *m,
        const struct lane *lane);
bool queue_is_low(const struct core *c, const struct session *s);
BT_MUST int queue_push(struct core *c, struct session *s, struct msg *m, const struct target *t);
/* queue_place puts `e`, which its owner keeps, at the end: of kind ENTRY_POOL. queue_withdraw takes
 * it out; what must go on nevertheless goes on as a plain entry. Returns 0 · -ENOMEM. */
BT_MUST int queue_place(struct core *c, struct session *s, struct entry *e, struct msg *m,
        const struct target *t, uint32_t redelivered);
void queue_withdraw(struct core *c, struct session *s, struct entry *e);
void queue_pop(struct core *c, struct session *s);
void queue_clear(struct core *c, struct session *s);

/* A receiver is watched, and ended after stall_ms, while its backlog is not low or somebody waits
 * for room in it. queue_watch begins or ends that. Returns 0 · -ENOMEM. */
bool queue_is_watched(const struct core *c, const struct session *s);
BT_MUST int queue_watch(struct core *c, struct session *s);

/* queue_drop makes a gap of an entry; it merges with others. queue_expire does so with those of the
 * first `bytes` of the queue that are too old; true if there were any. */
void queue_drop(struct core *c, struct session *s, struct entry *e, enum wire_gap_reason reason);
bool queue_expire(struct core *c, struct session *s, size_t bytes);
bool msg_is_too_old(const struct core *c, const struct msg *m);

/* queue_forget_request drops the replies to one request, and what tells its end. */
void queue_forget_request(struct core *c, struct session *s, uint64_t id);

enum { QUEUE_GAP_BYTES = 64 }; /* what a gap is charged as */
/* queue_lose notes at the end of the queue that `count` publications for `subset` are lost; it
 * merges with a loss just before. queue_make_gap turns an entry into a loss of its own. */
BT_MUST int queue_lose(struct core *c, struct session *s, struct subset *subset,
        enum wire_gap_reason reason, uint32_t count);
void queue_make_gap(
        struct core *c, struct session *s, struct entry *e, enum wire_gap_reason reason);

/* pool.c, pool_wait.c, pool_members.c (structures in pool.h). pool_join makes `sub`, which has a
 * number and a session, a member; pool_joined lets what has waited for it go on, once it is told
 * so; pool_leave undoes it. pool_offer gives a publication to a member, or lets it wait;
 * pool_offer_once for a sender that cannot wait. pool_waited_for: a publication waits for room
 * there. pool_drained: a session can take more, or less, than before. pool_entry_timer: a
 * publication that waits has become too old, or is to be delivered again. What becomes possible by
 * all that is done last of all (publish_resume): pool_run_due runs the pool that is linked so.
 * Return 0 · POOL_E_FULL (it has to be parked) · -ENOMEM. */
enum { POOL_E_FULL = 1 };
struct pool *pool_find(const struct core *c, const struct msg_sub *m); /* NULL: no such group */
BT_MUST int pool_join(struct core *c, struct sub *sub, const struct msg_sub *m);
void pool_joined(struct core *c, struct sub *sub);
void pool_leave(struct core *c, struct sub *sub);
void pool_charge(struct sub *sub, uint32_t n); /* it got, or lost, `n` that are not from here */
BT_MUST int pool_offer(struct core *c, struct pool *p, struct flight *f);
void pool_offer_once(struct core *c, struct pool *p, struct msg *m);
void pool_waited_for(struct core *c, struct pool *p);
struct list *pool_waiters(struct pool *p);
void pool_run_due(struct core *c, struct list *due);
void pool_drained(struct core *c, struct session *s);
void pool_credit(struct core *c, struct sub *sub, uint64_t amount);
void pool_timer(struct core *c, struct timer *t);
void pool_entry_timer(struct core *c, struct timer *t);
void pool_forget_request(struct core *c, struct request *r);
void pools_stop(struct core *c); /* those without members end: nobody will join them any more */
void pools_deinit(struct core *c);

/* pool_ack.c: groups that acknowledge. `place` is an entry of kind ENTRY_POOL. pool_sent: it was
 * sent, or its BEGIN, under the number `seq`. pool_drop: it is too old. pool_failed: it cannot be
 * read. pool_answer: ACK, or NACK. pool_late: a member has let its time pass. */
void pool_sent(struct core *c, struct entry *place, uint64_t seq);
void pool_drop(struct core *c, struct entry *place);
void pool_failed(struct core *c, struct entry *place);
void pool_answer(struct core *c, struct session *s, const struct msg_ack *m, bool is_refused);
void pool_late(struct core *c, struct timer *t);
void acks_deinit(struct acks *a);

/* retain.c. A keeper is whose value it is, and who is charged for it. retain_judge: is there room
 * to keep this, of `len` bytes? retain_keep does, or clears what was kept; it judges again, for
 * much may have happened while the publication waited. What it refuses leaves what was kept.
 * retain_send queues what matches for a new subscription. */
struct keeper {
        struct identity *who;
        struct account *account;
};
struct refusal retain_judge(
        const struct core *c, const struct keeper *by, const struct msg_pub *pub, size_t len);
struct refusal retain_keep(struct core *c, struct msg *m, const struct keeper *by);
void retain_judge_again(struct core *c); /* their owners may have lost the right */
void retain_send(struct core *c, struct session *s, struct sub *sub, struct slice filter);
void retain_deinit(struct core *c);

/* presence.c: what the broker publishes about sessions. It never waits: who has no room is told of
 * a gap. */
void presence_opened(struct core *c, const struct session *s);
void presence_closed(struct core *c, const struct session *s);
/* report_string appends text as a JSON string. Returns 0 · -ENOMEM. */
BT_MUST int report_string(struct buf *out, const char *text);

/* departed.c: departed_missed tells how many publications the session that `hello` names was owed
 * and did not get. Returns false if that is not known, or not for `s` to know. */
void departed_add(struct core *c, const struct session *s);
bool departed_missed(const struct core *c, const struct session *s, const struct msg_hello *hello,
        uint64_t *ret_missed);

/* admit_all_without_waiting offers `m` to every target of its route, for a sender that cannot wait.
 * Returns true if any of them counts: observers do not. */
bool admit_all_without_waiting(struct core *c, const struct targets *targets, struct msg *m);

/* will.c: publish_will publishes what a session left behind. will_drop forgets it. */
void will_keep(struct core *c, struct flight *f);
void will_hasten(struct session *s); /* it ends: those that wait for their turn count now */
void will_drop(struct session *s);
bool will_is_allowed(const struct core *c, const struct session *s); /* still: it has one */

/* overflow.c. lane_new makes the rules of a subscription; NULL without memory. lane_unref: NULL is
 * fine. lane_add and lane_remove keep its account. */
struct lane *lane_new(enum wire_overflow overflow, uint64_t bytes, uint64_t messages);
struct lane *lane_ref(struct lane *lane); /* NULL is fine */
void lane_unref(struct lane *lane);
bool lane_has_room(const struct lane *lane, const struct msg *m);
BT_MUST int lane_add(struct core *c, struct session *s, struct lane *lane, struct lane_entry *e);
void lane_remove(struct lane_entry *e);
/* lane_waits: its publishers wait for room. lane_is_stricter compares two that match (NULL: none).
 */
bool lane_waits(const struct lane *lane);
bool lane_is_stricter(const struct lane *a, const struct lane *b);
/* overflow_make_room makes room for `m`, of a target whose publishers do not wait, by the rules of
 * its lane. Returns false if there is none: the loss has been told, or the session ended. */
bool overflow_make_room(
        struct core *c, struct session *s, const struct msg *m, const struct target *t);
/* overflow_trim: the socket is full, so what is left is the backlog: now its lanes' limits hold. */
void overflow_trim(struct core *c, struct session *s);

/* check_account.c, check_held.c: parts of core_check. */
const char *check_accounts(const struct core *c);
const char *check_held_fds(const struct core *c);
/* A message's weight, counted anew: not by load_add, which is what is checked. */
void check_weigh(struct load *l, const struct msg *m);
bool check_is_same(const struct load *a, const struct load *b);
/* Notes the message that has the descriptors of `m` (NULL: none), if there are any. */
BT_MUST int check_note_fds(struct buf *all, const struct msg *m);
const char *check_lanes(const struct session *s);
/* check_pool.c: adds their deadlines to `*timers`; and their messages with descriptors to `all`. */
const char *check_pools(const struct core *c, size_t *timers);
int check_pool_fds(const struct core *c, struct buf *all);

/* flight.c: descriptors under way to receivers. flight_may: a packet with `n`, the last a payload's
 * if it `places` one, may go now. If not, flight_wait has the session marked when it may.
 * flight_scarce: the kernel refused them. */
bool flight_may(const struct core *c, const struct session *s, size_t n, bool places);
void flight_wait(struct core *c, struct session *s, size_t n, bool places);
void flight_sent(struct core *c, struct session *s, size_t n, bool places);
void flight_credit(struct core *c, struct session *s, uint64_t amount);
void flight_scarce(struct core *c, struct session *s);
void flight_tick(struct core *c);
void flight_drop(struct core *c, struct session *s);

/* out.c, and out_chunks.c for what has to go in chunks. out_drained: there is less in the queue
 * than before, so those who waited for that go on. */
void out_drained(struct core *c, struct session *s);
void out_put_copy(struct packet *p, const void *data, size_t len);
uint8_t *out_put_room(struct packet *p, size_t len); /* behind a copy */
size_t out_write_header(
        const struct session *s, const struct packet *p, const struct entry *e, uint8_t *to);
/* out_withhold: this receiver does not get the descriptors of a publication. Returns false if it
 * would not have got any. out_unplace: nor the one that holds the payload; that comes in chunks. */
bool out_withhold(struct entry *e);
void out_unplace(struct entry *e);
bool out_is_chunked(const struct session *s, const struct entry *e);
void out_put_chunks(struct core *c, struct packet *p, struct session *s, const struct entry *e);
void out_fill(const struct packet *p, const struct session *s, struct core_packet *ret_packet);
void out_chunks_sent(struct core *c, struct session *s);
void out_give_up(struct core *c, struct session *s); /* its payload cannot be read */

/* request.c */
enum { REQUEST_E_LIMIT = 1, REQUEST_E_QUOTA = 2 };

/* request_new opens a request of `s`. Returns 0 · REQUEST_E_LIMIT (limits.requests) ·
 * REQUEST_E_QUOTA (its uid's) · -ENOMEM. */
BT_MUST int request_new(struct core *c, struct session *s, const struct header_state *h,
        struct request **ret_request);
void request_free(struct core *c, struct request *r);
void request_end(struct core *c, struct request *r, enum wire_code code, const char *limit,
        const char *text);
/* request_end_if_deserted ends it when nobody has it who could answer, nor will get it. */
void request_end_if_deserted(struct core *c, struct request *r);
/* request_reply sends `m` to the requester. Returns false if the request ended instead. */
bool request_reply(struct core *c, struct request *r, struct msg *m, uint64_t flags);
bool request_has_room_for_reply(const struct core *c, const struct session *s, size_t len);
/* request_full_for_reply tells which limit has no room for `m`; NULL: all have. */
const char *request_full_for_reply(
        const struct core *c, const struct session *s, const struct msg *m);

/* builtin.c: builtin_answer answers a request to one of the broker's own topics. Returns false if
 * it is none that it knows. */
bool builtin_answer(struct core *c, const struct flight *f);

BT_MUST int request_add_holder(struct core *c, struct request *r, struct session *s);
struct request *request_by_id(const struct core *c, const struct session *s, uint64_t id);
/* request_holder finds the right of `s` to answer `token`; NULL if it has none. */
struct holder *request_holder(const struct core *c, const struct session *s, uint64_t token);
/* request_drop_holder takes a right to answer away, unless a reply by it is on its way. */
void request_drop_holder(struct core *c, struct holder *h);
void requests_drop(struct core *c, struct session *s); /* its own, and its right to answer others */

#endif
