"""Takes jobs out of the shared queue."""

import os
import pathlib
import signal
import sys
import time

QUEUE = pathlib.Path(os.environ["QUEUE"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    for job in QUEUE.iterdir():
        # Two workers may see one job; whoever removes it does it.
        try:
            job.unlink()
        except FileNotFoundError:
            continue
        print("done", job.name, flush=True)
    time.sleep(0.1)
