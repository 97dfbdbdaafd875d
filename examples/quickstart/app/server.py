"""A small web application. It takes over the listening socket that deployfile keeps (LISTEN_FDS), so that a new
release answers while the old one finishes its requests."""

import os
import pathlib
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = pathlib.Path(__file__).parent
PAGE = (HERE / "public/index.html").read_text()
VERSION = (HERE / "public/version.json").read_text()
VISITS = pathlib.Path(os.environ.get("DATA", ".")) / "visits"
LOCK = threading.Lock()


def count_visit():
    with LOCK:
        visits = int(VISITS.read_text()) + 1 if VISITS.exists() else 1
        VISITS.write_text(str(visits))
        return visits


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            self.answer("ok", "text/plain")
        elif self.path == "/version":
            self.answer(VERSION, "application/json")
        elif self.path == "/":
            self.answer(PAGE.replace("VISITS", str(count_visit())), "text/html")
        else:
            self.send_error(404)

    def answer(self, text, kind):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def server_bind(self):
        if os.environ.get("LISTEN_PID") == str(os.getpid()):
            self.socket.close()
            self.socket = socket.socket(fileno=3)
            # Two releases wait on one socket for a moment: the one that comes second must not block.
            self.socket.settimeout(1)
            self.server_address = self.socket.getsockname()
        else:
            super().server_bind()

    def server_activate(self):
        if os.environ.get("LISTEN_PID") != str(os.getpid()):
            super().server_activate()

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(30)
        return connection, address


server = Server(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("serving", VERSION, flush=True)
server.serve_forever(poll_interval=0.05)
server.server_close()  # waits for requests that are under way
