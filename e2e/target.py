"""A test web server that runs inside a host. It answers with what it saw, and misbehaves on request.

Usage: target.py [NAME] [--port PORT] [--tls PEM]

/echo         the request as JSON: name, method, path, headers, body length
/status/CODE  that status
/bytes/N      N bytes
/slow/SECONDS answers after a while
/garbage      bytes that are no HTTP
/close        closes without an answer
/chunked      a chunked answer with a trailer
anything else like /echo; `/health` answers 200 unless /health/down was asked before
"""

import argparse
import json
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = argparse.ArgumentParser()
arguments.add_argument("name", nargs="?", default=socket.gethostname())
arguments.add_argument("--port", type=int, default=8080)
arguments.add_argument("--tls", metavar="PEM", help="speak TLS with this certificate and key")
arguments = arguments.parse_args()
healthy = True


class Target(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one segment

    def do_GET(self):
        global healthy
        body = self.read_body()
        parts = self.path.split("?")[0].strip("/").split("/")
        match parts:
            case ["status", code]:
                self.answer(b"", int(code))
            case ["bytes", size]:
                self.answer(b"x" * int(size))
            case ["slow", seconds]:
                time.sleep(float(seconds))
                self.answer(b"at last")
            case ["garbage"]:
                self.wfile.write(b"\x16\x03this is not HTTP\r\n\r\n")
                self.close_connection = True
            case ["close"]:
                self.close_connection = True
            case ["chunked"]:
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.send_header("trailer", "x-checksum")
                self.end_headers()
                for piece in (b"one ", b"two ", b"three"):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\nx-checksum: 123\r\n\r\n")
            case ["health"]:
                self.answer(b"ok" if healthy else b"down", 200 if healthy else 503)
            case ["health", state]:
                healthy = state != "down"
                self.answer(b"noted")
            case _:
                self.answer(json.dumps({
                    "name": arguments.name,
                    "method": self.command,
                    "path": self.path,
                    "headers": [[key.lower(), value] for key, value in self.headers.items()],
                    "peer": self.client_address[0].removeprefix("::ffff:"),
                    "body": len(body),
                }).encode())

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET

    def read_body(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-target", arguments.name)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 1024


    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 as well
        super().server_bind()


server = Server(("::", arguments.port), Target)
if arguments.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.tls)
    # The handshake is made by the thread that serves the connection.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
