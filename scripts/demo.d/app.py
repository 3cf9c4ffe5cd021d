"""The demo's web app: answers every request with its version, its host and who it saw calling."""

import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION, PORT = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8080


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one segment

    def do_GET(self):
        body = json.dumps(
            {
                "version": VERSION,
                "host": socket.gethostname(),
                "path": self.path,
                "forwarded-for": self.headers.get("x-forwarded-for"),
            }
        ).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("0.0.0.0", PORT), App).serve_forever()
