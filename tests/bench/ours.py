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
for workload in WL:
    WL[workload][0].extend(['baton', 'baton-plain'])
