/* Design note. What the broker counts is listed once, with the names it has in each form. Names of
 * clients come from strangers; the broker lets only plain text pass (PROTOCOL.md part 3). */
#include "client/cli/status_form.h"

#include <inttypes.h>
#include <string.h>

static const struct count {
        const char *key, *label; /* label NULL: not in the table for people */
        const char *metric, *type, *help;
} counts[] = {
        {"sessions", "sessions", "baton_sessions", "gauge", "Connected clients."},
        {"subscriptions", "subscriptions", "baton_subscriptions", "gauge", "Subscriptions."},
        {"topics", "topics in use", "baton_topics", "gauge", "Topics whose receivers are cached."},
        {"requests", "requests open", "baton_requests", "gauge", "Requests without a reply yet."},
        {"published", "published", "baton_messages_published_total", "counter",
                "Messages received from publishers."},
        {"delivered", "delivered", "baton_messages_delivered_total", "counter",
                "Messages given to subscribers' sockets."},
        {"unrouted", "unrouted", "baton_messages_unrouted_total", "counter",
                "Messages that nobody was subscribed to."},
        {"refused", "refused", "baton_messages_refused_total", "counter",
                "Messages refused, their publishers told."},
        {"dropped", "dropped", "baton_messages_dropped_total", "counter",
                "Messages lost by a subscriber's overflow policy."},
        {"discarded", "discarded", "baton_messages_discarded_total", "counter",
                "Messages queued for clients that went away."},
        {"queued", "queued", "baton_messages_queued", "gauge",
                "Messages waiting for slow subscribers."},
        {"queued_bytes", "queued bytes", "baton_queued_bytes", "gauge",
                "Bytes waiting for slow subscribers."},
        {"waiting", "waiting", "baton_messages_waiting", "gauge",
                "Messages waiting for a free window of their group."},
        {"unacknowledged", "unacknowledged", "baton_messages_unacknowledged", "gauge",
                "Messages that a member of a group has and has not acknowledged."},
        {"returned", "returned", "baton_messages_returned_total", "counter",
                "Messages that came back to their group to be delivered again."},
        {"dead", "dead", "baton_messages_dead_total", "counter",
                "Messages given up after too many deliveries ($sys.dead)."},
        {"parked", "parked", "baton_messages_parked", "gauge",
                "Messages waiting for room in subscribers' queues."},
        {"parked_bytes", "parked bytes", "baton_parked_bytes", "gauge",
                "Bytes waiting for room in subscribers' queues."},
        {"refused_sessions", "sessions refused", "baton_sessions_refused_total", "counter",
                "Connections refused."},
};

static long long number(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
        const char *value = json_string_value(json_object_get(object, key));

        return value ? value : "";
}

/* ---------------------------------------------------------------- for people */

static int put_uptime(struct buf *out, long long ms)
{
        long long s = ms / 1000;

        if (s >= 86400)
                return buf_printf(out, "%lld d %lld h", s / 86400, s / 3600 % 24);
        if (s >= 3600)
                return buf_printf(out, "%lld h %lld min", s / 3600, s / 60 % 60);
        if (s >= 60)
                return buf_printf(out, "%lld min %lld s", s / 60, s % 60);
        return buf_printf(out, "%lld s", s);
}

static int put_broker(struct buf *out, const json_t *broker, const char *address)
{
        int r = buf_printf(out, "%s at %s, pid %lld, uid %lld, up for ", text(broker, "version"),
                address, number(broker, "pid"), number(broker, "uid"));

        if (r == 0)
                r = put_uptime(out, number(broker, "uptime_ms"));
        return r < 0 ? r : buf_printf(out, "\ninstance %s\n\n", text(broker, "instance"));
}

/* Three columns, read downwards. */
static int put_counts(struct buf *out, const json_t *report)
{
        enum { COLUMNS = 3 };
        const size_t n = ARRAY_LEN(counts), rows = (n + COLUMNS - 1) / COLUMNS;
        int r = 0;

        for (size_t row = 0; row < rows && r == 0; row++) {
                for (size_t i = row; i < n && r == 0; i += rows)
                        r = buf_printf(out, "%s%-16s %8lld", i == row ? "" : "   ", counts[i].label,
                                number(report, counts[i].key));
                if (r == 0)
                        r = buf_push(out, "\n", 1);
        }
        return r;
}

static int put_client(struct buf *out, const json_t *client)
{
        return buf_printf(out, "%8lld  %-16s %-9s %8lld %6lld %6lld %10lld %10lld %8lld\n",
                number(client, "session"), text(client, "name"), text(client, "state"),
                number(client, "pid"), number(client, "uid"), number(client, "subscriptions"),
                number(client, "published"), number(client, "delivered"), number(client, "queued"));
}

static int put_clients(struct buf *out, const json_t *report)
{
        const json_t *clients = json_object_get(report, "clients"), *client;
        size_t i;
        int r = buf_printf(out, "\n%8s  %-16s %-9s %8s %6s %6s %10s %10s %8s\n", "session", "name",
                "state", "pid", "uid", "subs", "published", "delivered", "queued");

        json_array_foreach(clients, i, client)
        {
                if (r == 0)
                        r = put_client(out, client);
        }
        long long omitted = number(report, "clients_omitted");
        if (r == 0 && omitted)
                r = buf_printf(out, "... and %lld more\n", omitted);
        return r;
}

/* What was refused, in the order of the limits. */
static int put_refusals(struct buf *out, const json_t *report)
{
        const json_t *refusals = json_object_get(report, "refusals"), *refusal;
        size_t i;
        int r = json_array_size(refusals) ? buf_printf(out, "\n%-20s %10s   %s\n", "refused by",
                                                    "times", "most often to")
                                          : 0;

        json_array_foreach(refusals, i, refusal)
        {
                const json_t *worst = json_object_get(refusal, "worst");
                if (r == 0)
                        r = buf_printf(out, "%-20s %10lld   uid %lld, pid %lld (%lld)\n",
                                text(refusal, "limit"), number(refusal, "count"),
                                number(worst, "uid"), number(worst, "pid"), number(worst, "count"));
        }
        return r;
}

int status_form_table(struct buf *out, const json_t *report, const char *address)
{
        int r = put_broker(out, json_object_get(report, "broker"), address);

        if (r == 0)
                r = put_counts(out, report);
        if (r == 0)
                r = put_refusals(out, report);
        return r < 0 ? r : put_clients(out, report);
}

/* ---------------------------------------------------------------- for Prometheus */

static int put_head(struct buf *out, const char *metric, const char *type, const char *help)
{
        return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static int put_label(struct buf *out, const char *value)
{
        int r = 0;

        for (; *value && r == 0; value++) {
                if (*value == '\n') {
                        r = buf_push(out, "\\n", 2);
                        continue;
                }
                if (*value == '\\' || *value == '"')
                        r = buf_push(out, "\\", 1);
                if (r == 0)
                        r = buf_push(out, value, 1);
        }
        return r;
}

static int put_build(struct buf *out, const json_t *broker)
{
        int r = put_head(out, "baton_build_info", "gauge", "The broker's version and instance.");

        if (r == 0)
                r = buf_printf(out, "baton_build_info{version=\"");
        if (r == 0)
                r = put_label(out, text(broker, "version"));
        if (r == 0)
                r = buf_printf(out, "\",instance=\"");
        if (r == 0)
                r = put_label(out, text(broker, "instance"));
        if (r == 0)
                r = buf_printf(out, "\"} 1\n");
        if (r == 0)
                r = put_head(
                        out, "baton_uptime_seconds", "gauge", "Time since the broker started.");
        long long ms = number(broker, "uptime_ms");
        return r < 0 ? r
                     : buf_printf(out, "baton_uptime_seconds %lld.%03lld\n", ms / 1000, ms % 1000);
}

static int put_refusal_counts(struct buf *out, const json_t *report)
{
        const json_t *refusals = json_object_get(report, "refusals"), *refusal;
        int r = put_head(
                out, "baton_refusals_total", "counter", "What was refused, by its reason.");
        size_t i;

        json_array_foreach(refusals, i, refusal)
        {
                if (r == 0)
                        r = buf_printf(out, "baton_refusals_total{limit=\"");
                if (r == 0)
                        r = put_label(out, text(refusal, "limit"));
                if (r == 0)
                        r = buf_printf(out, "\"} %lld\n", number(refusal, "count"));
        }
        return r;
}

int status_form_prometheus(struct buf *out, const json_t *report)
{
        int r = put_build(out, json_object_get(report, "broker"));

        for (size_t i = 0; i < ARRAY_LEN(counts) && r == 0; i++) {
                const struct count *c = &counts[i];
                if (!json_is_integer(json_object_get(report, c->key)))
                        continue;
                r = put_head(out, c->metric, c->type, c->help);
                if (r == 0)
                        r = buf_printf(out, "%s %lld\n", c->metric, number(report, c->key));
        }
        return r < 0 ? r : put_refusal_counts(out, report);
}
