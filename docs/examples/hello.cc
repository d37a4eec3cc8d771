// hello.cc - hello.c in C++: the handle frees itself, a callback is a lambda without captures.
#include <baton.h>

#include <iostream>
#include <memory>
#include <string>

struct Free {
        void operator()(baton *b) const
        {
                baton_free(b);
        }
};
using Handle = std::unique_ptr<baton, Free>;

static int run(baton *b, std::string &ret_text)
{
        auto keep = [](baton *, const baton_message *m, void *arg) {
                auto text = static_cast<std::string *>(arg);
                text->assign(static_cast<const char *>(m->payload), m->payload_len);
        };
        int r = baton_connect(b, nullptr, 5000);

        if (r == 0)
                r = baton_subscribe(b, "sensors.*.temp", nullptr, keep, &ret_text, nullptr);
        if (r == 0)
                r = baton_publish(b, "sensors.cabin.temp", "21.5", 4);
        while (r >= 0 && ret_text.empty())
                r = baton_wait(b, -1);
        return r;
}

int main()
{
        baton *b;
        if (baton_new(&b) < 0)
                return 1;
        Handle handle(b);
        std::string text;
        if (run(b, text) < 0) {
                std::cerr << "hello: " << baton_error(b) << '\n';
                return 1;
        }
        std::cout << text << '\n';
}
