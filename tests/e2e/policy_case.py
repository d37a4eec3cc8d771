"""What the tests of policies share: a broker with one, that may change, and other users."""

import os
import signal

from child import eventually
from uid_case import OtherUid


class PolicyCase(OtherUid):
    def write(self, text):
        """As an editor does: another file takes the place of the one before."""
        path = self.at("policy.conf")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)
        return path

    def start(self, text):
        self.broker = self.new_broker("--policy", self.write(text), listen=(self.open_name,),
                                      address=self.name)
        return self.broker

    def reload(self, text, said="the policy was read again"):
        before = self.broker.said().count(said)
        self.write(text)
        os.kill(self.broker.pid, signal.SIGHUP)
        eventually(lambda: self.broker.said().count(said) > before, said)

    def as_user(self, uid, function, groups=(), gid=None):
        """Run function(child) as somebody else, beside the test."""
        def run(child):
            os.setgroups(list(groups))
            os.setresgid(*[uid if gid is None else gid] * 3)
            os.setresuid(uid, uid, uid)
            function(child)
        return self.fork(run)
