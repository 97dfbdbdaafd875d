"""Takes jobs over HTTP and puts them into the shared queue."""

import os
import pathlib
import signal
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUILD = (pathlib.Path(__file__).parent / "build-id").read_text()
QUEUE = pathlib.Path(os.environ["QUEUE"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"/healthz": "ok", "/version": BUILD}.get(self.path, "supervised " + BUILD))

    def do_POST(self):
        (QUEUE / uuid.uuid4().hex).write_text("job")
        self.answer("queued")

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
