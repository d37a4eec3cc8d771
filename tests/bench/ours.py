# Adds Baton to the comparison bench: `run.py --extra ours.py -p baton,zmq,lim-seqcoal -w W1`.
# BATON_BROKER names the broker's executable; peer-baton must stand beside run.py.

def b_baton(peer):
    SEQ[0] += 1
    address = f'@bench-{os.getpid()}-{SEQ[0]}'
    argv = [os.environ['BATON_BROKER'], '--listen', address, '--limit', 'subscriptions=100000',
            '--limit', 'sessions=20000']
    pin = (lambda: os.sched_setaffinity(0, PIN[0])) if PIN[0] else None
    broker = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              preexec_fn=pin)
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


PEERS['baton'] = dict(exe='peer-baton', env={'FDS': '1'}, broker=b_baton, win=None)
PEERS['baton-plain'] = dict(exe='peer-baton', env={'PLAIN': '1', 'FDS': '1'}, broker=b_baton,
                            win=None)
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


# Many publishers, each going round eight topics with payloads of random sizes; one subscriber.
def mixed(name, publishers=8, dur=1500):
    peer = PEERS[name]
    exe = f'{HERE}/{peer["exe"].replace("peer-", "mixed-")}'
    words, window = ['-S', str(publishers)], f'{RUN}/win.{os.getpid()}'
    if os.path.exists(window):
        os.unlink(window)
    if peer['win']:
        words += ['-W', window]
    started, address = [], ''
    try:
        started, pid, address = peer['broker'](peer)
        words += ['-a', address]
        sub = Proc([exe, 'msub', '-t', 'mixed.data.*', *words], peer.get('env'))
        started.append(sub)
        sub.ready()
        pubs = []
        for number in range(publishers):
            more = ['-w', str(peer['win'] // publishers)] if peer['win'] else []
            pubs.append(Proc([exe, 'mpub', '-i', str(number), '-d', str(dur), *words, *more],
                             peer.get('env')))
            started.append(pubs[-1])
            pubs[-1].ready()
        time.sleep(0.05)
        cpu, (busy, steal), begin = cpu_ns(pid), sysbusy(), time.time()
        for pub in pubs:
            pub.go()
        got = json.loads(sub.line(dur / 1000 + 60) or 'null')
        said = [json.loads(pub.line(10) or 'null') for pub in pubs]
        if not got or not all(said):
            raise RuntimeError(f'{name}: somebody died or hung')
        cpu, wall = cpu_ns(pid) - cpu, time.time() - begin
        seconds = (got['last'] - min(pub['start'] for pub in said)) / 1e9
        used = cpu + got['cpu'] + sum(pub['cpu'] for pub in said)
        rates = [pub['sent'] for pub in said]
        now_busy, now_steal = sysbusy()
        return dict(rate=got['recv'] / seconds, lost=sum(rates) - got['recv'], bad=got['bad'],
                    cpu_us=used / 1e3 / max(1, got['recv']),
                    cpu_us_broker=cpu / 1e3 / max(1, got['recv']),
                    cpu_us_sub=got['cpu'] / 1e3 / max(1, got['recv']),
                    evenness=min(rates) / max(1, max(rates)),
                    foreign=max(0, now_busy - busy - used) / 1e9 / wall,
                    steal=(now_steal - steal) / 1e9 / wall)
    finally:
        for process in reversed(started):
            process.close()
        for process in reversed(started):
            process.kill()


WL['W1-mixed'] = (['zmq', 'nats', 'redis', 'baton', 'baton-plain'], mixed,
                  ['rate', 'cpu_us', 'cpu_us_broker', 'cpu_us_sub', 'evenness', 'lost', 'bad'])
