#!/usr/bin/env python3
"""Stands in for hhvm where there is none: as much of its command line, its server and its admin port as the deployfile uses.
It runs no PHP: the server answers with the text of the file."""

import argparse
import json
import pathlib
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = argparse.ArgumentParser()
arguments.add_argument("--mode", default="run")
arguments.add_argument("--config", type=pathlib.Path, required=True)
arguments.add_argument("--build-id", default="")
arguments.add_argument("script", nargs="*")
given = arguments.parse_args()

lines = given.config.read_text().splitlines()
settings = dict(line.split(" = ", 1) for line in lines if not line.startswith(";"))


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.body(self.path.split("?")[0])
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")


class Site(Answers):
    def body(self, path):
        page = pathlib.Path(settings["hhvm.server.source_root"]) / "index.php"
        return page.read_bytes() if path == "/" else None


class Admin(Answers):
    def body(self, path):
        return {"/build-id": given.build_id.encode(), "/check-health": json.dumps({"load": 0, "queued": 0}).encode()}.get(path)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if given.mode == "server":
    for handler, port in (Site, "hhvm.server.port"), (Admin, "hhvm.admin_server.port"):
        server = ThreadingHTTPServer(("127.0.0.1", int(settings[port])), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
print("hhvm stand-in:", given.mode, *given.script, flush=True)
while True:
    signal.pause()
