/* The ABI of the library as a text: every struct of baton.h and its parts with sizes and offsets,
 * every constant, every prototype. abi_test compares it with abi.txt, and asks whether everything
 * that the headers declare is here:
 *
 *      bazel run //client/package:abi >client/package/abi.txt
 *
 * Design note. The lists are written by hand, so that a change of the headers is made twice, the
 * second time with the question before one whether programs that are compiled already survive it.
 * The compiler compares each type here with the header's: an error about types below means that a
 * function or field has not the type that it had. Nothing is called, so nothing is linked. */
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>

#include "client/baton.h"

#define SAME(a, b) _Static_assert(__builtin_types_compatible_p(a, b), "not the type that it had")

#define STRUCT(name)                                                                   \
        printf("\nstruct %s: %zu bytes, aligned to %zu\n", #name, sizeof(struct name), \
                alignof(struct name))

#define FIELD(name, type, field)                                              \
        do {                                                                  \
                SAME(__typeof__(((struct name *)NULL)->field), type);         \
                printf("%5zu %4zu  %s: %s\n", offsetof(struct name, field),   \
                        sizeof(((struct name *)NULL)->field), #field, #type); \
        } while (0)

#define VALUE(name) printf("constant %s = %d\n", #name, name)

#define CALLBACK(type, name, ...)                                             \
        do {                                                                  \
                SAME(name, type (*)(__VA_ARGS__));                            \
                printf("callback %s: %s (%s)\n", #name, #type, #__VA_ARGS__); \
        } while (0)

#define FUNCTION(type, name, ...)                                             \
        do {                                                                  \
                SAME(__typeof__(&name), type (*)(__VA_ARGS__));               \
                printf("function %s: %s (%s)\n", #name, #type, #__VA_ARGS__); \
        } while (0)

static void print_message_structs(void)
{
        STRUCT(baton_header);
        FIELD(baton_header, const char *, key);
        FIELD(baton_header, size_t, key_len);
        FIELD(baton_header, enum baton_header_kind, kind);
        FIELD(baton_header, bool, value.boolean);
        FIELD(baton_header, int64_t, value.i);
        FIELD(baton_header, uint64_t, value.u);
        FIELD(baton_header, double, value.f);
        FIELD(baton_header, const void *, value.bytes.data);
        FIELD(baton_header, size_t, value.bytes.len);

        STRUCT(baton_sender);
        FIELD(baton_sender, uint64_t, session);
        FIELD(baton_sender, pid_t, pid);
        FIELD(baton_sender, uid_t, uid);
        FIELD(baton_sender, gid_t, gid);

        STRUCT(baton_message);
        FIELD(baton_message, const char *, topic);
        FIELD(baton_message, size_t, topic_len);
        FIELD(baton_message, const void *, payload);
        FIELD(baton_message, size_t, payload_len);
        FIELD(baton_message, struct baton_sender, sender);
        FIELD(baton_message, uint64_t, seq);
        FIELD(baton_message, uint64_t, age_ms);
        FIELD(baton_message, uint64_t, token);
        FIELD(baton_message, uint64_t, receipt);
        FIELD(baton_message, uint32_t, subscription);
        FIELD(baton_message, uint32_t, redelivered);
        FIELD(baton_message, uint32_t, n_headers);
        FIELD(baton_message, uint32_t, n_fds);
        FIELD(baton_message, uint32_t, fds_withheld);
        FIELD(baton_message, const int *, fds);
        FIELD(baton_message, int, payload_fd);
        FIELD(baton_message, bool, retained);
        FIELD(baton_message, bool, is_request);
        FIELD(baton_message, bool, more);
        FIELD(baton_message, bool, failed);
        FIELD(baton_message, const void *[4], reserved);
}

static void print_publication_structs(void)
{
        STRUCT(baton_payload);
        FIELD(baton_payload, const void *, data);
        FIELD(baton_payload, size_t, len);
        FIELD(baton_payload, void *, reserved);

        STRUCT(baton_publication);
        FIELD(baton_publication, const char *, topic);
        FIELD(baton_publication, const void *, payload);
        FIELD(baton_publication, size_t, payload_len);
        FIELD(baton_publication, const struct baton_header *, headers);
        FIELD(baton_publication, size_t, n_headers);
        FIELD(baton_publication, const int *, fds);
        FIELD(baton_publication, size_t, n_fds);
        FIELD(baton_publication, uint32_t, flags);
        FIELD(baton_publication, uint32_t, ttl_ms);
        FIELD(baton_publication, uint32_t, reply_fds);
        FIELD(baton_publication, const void *[4], reserved);

        STRUCT(baton_subscription);
        FIELD(baton_subscription, uint32_t, max_fds);
        FIELD(baton_subscription, bool, observer);
        FIELD(baton_subscription, enum baton_overflow, overflow);
        FIELD(baton_subscription, uint64_t, queue_bytes);
        FIELD(baton_subscription, uint64_t, queue_messages);
        FIELD(baton_subscription, const char *, group);
        FIELD(baton_subscription, uint32_t, window);
        FIELD(baton_subscription, bool, ack);
        FIELD(baton_subscription, uint32_t, ack_ms);
        FIELD(baton_subscription, uint32_t, max_deliveries);
        FIELD(baton_subscription, bool, no_retained);
        FIELD(baton_subscription, bool, hold);
        FIELD(baton_subscription, const void *[4], reserved);
}

static void print_connection_structs(void)
{
        STRUCT(baton_gap);
        FIELD(baton_gap, uint32_t, subscription);
        FIELD(baton_gap, const char *, filter);
        FIELD(baton_gap, uint64_t, count);
        FIELD(baton_gap, const char *, reason);

        STRUCT(baton_event);
        FIELD(baton_event, enum baton_change, change);
        FIELD(baton_event, int, error);
        FIELD(baton_event, const char *, text);
        FIELD(baton_event, bool, other_instance);
        FIELD(baton_event, uint64_t, uncertain);
        FIELD(baton_event, uint64_t, dropped);
        FIELD(baton_event, int64_t, missed);
        FIELD(baton_event, uint32_t, subscription);
        FIELD(baton_event, const char *, filter);
        FIELD(baton_event, const void *[4], reserved);

        STRUCT(baton_reconnect);
        FIELD(baton_reconnect, unsigned, first_ms);
        FIELD(baton_reconnect, unsigned, most_ms);
        FIELD(baton_reconnect, size_t, keep_bytes);
        FIELD(baton_reconnect, baton_event_fn, on_event);
        FIELD(baton_reconnect, void *, arg);
        FIELD(baton_reconnect, const void *[4], reserved);
}

static void print_constants(void)
{
        putchar('\n');
        VALUE(BATON_NIL);
        VALUE(BATON_BOOL);
        VALUE(BATON_INT);
        VALUE(BATON_UINT);
        VALUE(BATON_FLOAT);
        VALUE(BATON_STR);
        VALUE(BATON_BIN);
        putchar('\n');
        VALUE(BATON_NO_ECHO);
        VALUE(BATON_RETAIN);
        VALUE(BATON_WILL);
        VALUE(BATON_MORE);
        VALUE(BATON_FAILED);
        putchar('\n');
        VALUE(BATON_LOST);
        VALUE(BATON_BACK);
        VALUE(BATON_READY);
        VALUE(BATON_DENIED);
        VALUE(BATON_GONE);
        putchar('\n');
        VALUE(BATON_BLOCK);
        VALUE(BATON_DROP_OLDEST);
        VALUE(BATON_DROP_NEWEST);
        VALUE(BATON_LATEST);
        VALUE(BATON_DISCONNECT);
}

static void print_callbacks(void)
{
        putchar('\n');
        CALLBACK(void, baton_message_fn, baton *, const struct baton_message *, void *);
        CALLBACK(void, baton_done_fn, baton *, int, const char *, void *);
        CALLBACK(void, baton_log_fn, const char *, void *);
        CALLBACK(void, baton_gap_fn, baton *, const struct baton_gap *, void *);
        CALLBACK(void, baton_freed_fn, baton *, void *);
        CALLBACK(void, baton_event_fn, baton *, const struct baton_event *, void *);
}

static void print_message_functions(void)
{
        putchar('\n');
        FUNCTION(int, baton_header_at, const struct baton_message *, uint32_t,
                struct baton_header *);
        FUNCTION(int, baton_header_find, const struct baton_message *, const char *,
                struct baton_header *);
        FUNCTION(int, baton_take_fd, const struct baton_message *, uint32_t);
        FUNCTION(int, baton_take_payload, const struct baton_message *, struct baton_payload *);
        FUNCTION(void, baton_drop_payload, struct baton_payload *);
}

static void print_connection_functions(void)
{
        putchar('\n');
        FUNCTION(int, baton_set_name, baton *, const char *);
        FUNCTION(void, baton_set_nonblocking, baton *, bool);
        FUNCTION(void, baton_set_no_echo, baton *, bool);
        FUNCTION(void, baton_set_large, baton *, size_t);
        FUNCTION(void, baton_set_inbox, baton *, size_t);
        FUNCTION(void, baton_set_log, baton *, baton_log_fn, void *);
        FUNCTION(void, baton_set_gap, baton *, baton_gap_fn, void *);
        FUNCTION(void, baton_set_freed, baton *, baton_freed_fn, void *);
        FUNCTION(int, baton_connect_start, baton *, const char *, int, baton_done_fn, void *);
        FUNCTION(int, baton_set_reconnect, baton *, const struct baton_reconnect *);
        FUNCTION(bool, baton_is_away, const baton *);
        FUNCTION(const char *, baton_strerror, int);
        FUNCTION(const char *, baton_code_name, int);
        FUNCTION(const char *, baton_address, const baton *);
        FUNCTION(uint64_t, baton_session, const baton *);
        FUNCTION(const uint8_t *, baton_instance, const baton *);
        FUNCTION(uint64_t, baton_rights, const baton *);
        FUNCTION(struct baton_sender, baton_broker, const baton *);
        FUNCTION(uint64_t, baton_limit, const baton *, const char *);
}

static void print_functions(void)
{
        putchar('\n');
        FUNCTION(int, baton_new, baton **);
        FUNCTION(baton *, baton_free, baton *);
        FUNCTION(int, baton_connect, baton *, const char *, int);
        FUNCTION(int, baton_connect_fd, baton *, int, int);
        FUNCTION(int, baton_close, baton *, int);
        FUNCTION(bool, baton_is_connected, const baton *);
        FUNCTION(const char *, baton_error, const baton *);
        FUNCTION(int, baton_code, const baton *);
        FUNCTION(int, baton_publish, baton *, const char *, const void *, size_t);
        FUNCTION(int, baton_publish_with, baton *, const struct baton_publication *);
        FUNCTION(int, baton_publish_confirm, baton *, const struct baton_publication *,
                baton_done_fn, void *);
        FUNCTION(int, baton_publish_wait, baton *, const struct baton_publication *, int);
        FUNCTION(int, baton_begin, baton *, const struct baton_publication *, uint64_t,
                baton_done_fn, void *);
        FUNCTION(int, baton_write, baton *, const void *, size_t);
        FUNCTION(int, baton_end, baton *);
        FUNCTION(void, baton_abandon, baton *);
        FUNCTION(void, baton_cork, baton *);
        FUNCTION(int, baton_uncork, baton *);
        FUNCTION(int, baton_flush, baton *, int);
        FUNCTION(int, baton_subscribe, baton *, const char *, const struct baton_subscription *,
                baton_message_fn, void *, uint32_t *);
        FUNCTION(int, baton_subscribe_start, baton *, const char *,
                const struct baton_subscription *, baton_message_fn, baton_done_fn, void *,
                uint32_t *);
        FUNCTION(int, baton_unsubscribe, baton *, uint32_t);
        FUNCTION(int, baton_release, baton *, uint32_t);
        FUNCTION(int, baton_ack, baton *, uint64_t);
        FUNCTION(int, baton_nack, baton *, uint64_t, uint32_t);
        FUNCTION(int, baton_request, baton *, const struct baton_publication *, int,
                baton_message_fn, void *);
        FUNCTION(int, baton_request_start, baton *, const struct baton_publication *, int,
                baton_message_fn, baton_done_fn, void *, uint64_t *);
        FUNCTION(int, baton_cancel, baton *, uint64_t);
        FUNCTION(int, baton_reply, baton *, uint64_t, const void *, size_t);
        FUNCTION(int, baton_reply_with, baton *, uint64_t, const struct baton_publication *);
        FUNCTION(int, baton_wait, baton *, int);
        FUNCTION(int, baton_fd, const baton *);
        FUNCTION(short, baton_events, const baton *);
        FUNCTION(int, baton_timeout, const baton *);
        FUNCTION(int, baton_process, baton *);
        FUNCTION(int, baton_ping, baton *, int);
}

int main(void)
{
        printf("pointers of %zu bytes\n", sizeof(void *));
        print_message_structs();
        print_publication_structs();
        print_connection_structs();
        print_constants();
        print_callbacks();
        print_message_functions();
        print_connection_functions();
        print_functions();
        return fflush(stdout) == 0 ? 0 : 1;
}
