// baton.h in C++, as its users include it.
#include <baton.h>

#include <cerrno>
#include <cstring>

static void on_message(baton *, const baton_message *m, void *)
{
        (void)m->sender.uid;
}

int main()
{
        baton *b = nullptr;
        baton_publication p = {};
        baton_subscription s = {};

        if (baton_new(&b) < 0)
                return 1;
        p.topic = "a.b";
        s.max_fds = 1;
        bool ok = baton_publish_with(b, &p) == -ENOTCONN &&
                  baton_subscribe(b, "a.>", &s, on_message, nullptr, nullptr) == -ENOTCONN &&
                  std::strcmp(baton_error(b), "not connected: baton_connect comes first") == 0;
        return baton_free(b) == nullptr && ok ? 0 : 1;
}
