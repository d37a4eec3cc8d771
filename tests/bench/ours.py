# Adds Baton to the comparison bench: `run.py --extra ours.py -p baton,zmq,lim-seqcoal -w W1`.
# BATON_BROKER names the broker's executable; peer-baton must stand beside run.py.

def b_baton(peer):
    SEQ[0] += 1
    address = f'@bench-{os.getpid()}-{SEQ[0]}'
    argv = [os.environ['BATON_BROKER'], '--listen', address, '--limit', 'subscriptions=100000',
            '--limit', 'sessions=20000']
    broker = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for line in broker.stderr:
        if line == b'ready\n':
            break
    else:
        raise RuntimeError('the broker did not start')
    return [_Running(broker)], broker.pid, address


class _Running:
    """A started process in the shape that run.py ends its processes by."""

    def __init__(self, process):
        self.process, self.pid = process, process.pid

    def close(self):
        """Nothing waits for its standard input."""

    def kill(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()


PEERS['baton'] = dict(exe='peer-baton', broker=b_baton, win=None)
PEERS['baton-plain'] = dict(exe='peer-baton', env={'PLAIN': '1'}, broker=b_baton, win=None)
PEERS['baton-placed'] = dict(exe='peer-baton', env={'LARGE': '1024'}, broker=b_baton, win=None)
for workload in WL:
    WL[workload][0].extend(['baton', 'baton-plain'])


# Where a memfd begins to pay: the same payload inline and placed, to 1 receiver and to 8.
def _sized(size, receivers):
    return lambda peer: pubsub(peer, nsubs=receivers, size=size, check=1)


for size in (4096, 16384, 32768, 60000):
    for receivers in (1, 8):
        WL[f'large-{size}-{receivers}'] = (['baton', 'baton-placed'], _sized(size, receivers),
                                           ['rate', 'mbps', 'cpu_us', 'lost', 'bad'])
WL['W5-8'] = (['zmq', 'lim-seqcoal', 'lim-memfd', 'baton'],
              lambda peer: pubsub(peer, nsubs=8, size=16 << 20, check=1, count=40, dur=6000),
              ['mbps', 'cpu_us', 'recv', 'lost', 'bad', 'broker_rss_kib'])
