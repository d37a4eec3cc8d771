/* Design note. Trust rests on SO_PEERCRED alone: the uid that the listening process had when it
 * called listen(2), which no squatter can forge, whether the address is abstract or a path. */
#include "proto/link/connect.h"

#include "proto/link/os.h"
#include "proto/link/reach.h"
#include "proto/link/say.h"
#include "proto/link/transport.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static int connect_path(int fd, const struct address *a, struct link_why *why)
{
        cleanup_(os_found_deinit) struct os_found found = OS_FOUND_INIT;
        int r = reach_find(a, &found, why);

        return r ? r : reach_connect(fd, &found, a, why);
}

static int connect_abstract(int fd, const struct address *a, struct link_why *why)
{
        struct sockaddr_un addr;
        socklen_t len;

        os_abstract(a->name, a->name_len, &addr, &len);
        if (connect(fd, (const struct sockaddr *)&addr, len) == 0)
                return 0;
        return reach_judge(-errno, why);
}

static int check_trust(const struct address *a, const struct cred *broker, struct link_why *why)
{
        char expected[REACH_EXPECTED];

        if (reach_trusts(a, broker->uid))
                return 0;
        say_who(why->text, "held by ", broker, reach_expected(a, expected));
        return LINK_E_UNTRUSTED;
}

static int try(const struct address *a, struct graveyard *yard, struct link **ret_link,
        struct cred *ret_broker, struct link_why *why)
{
        cleanup_(closep) int fd = os_socket(transport_socket(a->transport));
        struct cred broker;
        int r;

        if (fd < 0)
                return fd;
        r = a->is_abstract ? connect_abstract(fd, a, why) : connect_path(fd, a, why);
        if (r)
                return r;
        if ((r = cred_of_peer(fd, &broker)) || (r = check_trust(a, &broker, why)))
                return r;
        int adopted = fd;
        fd = -1;
        r = link_new_adopt(adopted, a->transport, yard, ret_link);
        if (r == 0)
                *ret_broker = broker;
        return r;
}

int link_connect(const struct address *a, struct graveyard *yard, struct link **ret_link,
        struct cred *ret_broker, struct link_why *ret_why)
{
        const char *lack =
                a->transport == TRANSPORT_DGRAM ? "dgram: is for publishing only" : os_lacks(a);

        if (lack) {
                say(ret_why->text, "%s", lack);
                return LINK_E_UNSUPPORTED;
        }
        int r = try(a, yard, ret_link, ret_broker, ret_why);
        if (r < 0)
                say(ret_why->text, "%s", strerror(-r));
        return r;
}
