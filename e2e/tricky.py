"""Requests of HTTP/1.1 that two parsers could read differently, sent to a service as fast as it takes them; and a target that keeps
what comes of them.

Usage: tricky.py send NAME SEED SECONDS   prints how many were sent and what was answered, as JSON
       tricky.py keep PORT                serves; each connection brings one request, as far as anybody can tell
       tricky.py kept PORT                prints what the target on this host has kept, as JSON, and has it forget
"""

import base64
import collections
import json
import random
import socket
import sys
import threading
import time

# How long nothing comes before a request is taken for whole.
SILENCE = 0.03
FORGET = b"what have you kept?"

METHODS = ["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "get", "G@T", "GE T", "", "PRI", "TRACE", "PATCH"]
TARGETS = ["/", "/a?b=c", "*", "//evil/x", "http://{name}/abs", "http://evil/abs", "HTTP://{name}", "/a b", "/a\tb", "/%00", "/a#b", "/é",
           "/\x7f", "/a\0b", "{name}:80", "/" + "x" * 300, "/..;/a", "/a\\b", "https://{name}:80/x", "http://{name}@evil/", "?x"]
VERSIONS = ["HTTP/1.1"] * 12 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/01.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1.", "HTTP/1.10", ""]
ENDS = ["\r\n"] * 24 + ["\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\t\r\n", "\0\r\n", "\x0b\r\n", "\x85\r\n"]
LENGTHS = ["{n}", "{n}", "{n}", "+{n}", "0{n}", "{n}, {n}", "{n},{n}", "{n}, 6", " {n}", "{n} ", "\t{n}", "0x{n}", "{n}\0", "-1", "{n}.0", "{n}e0",
           "18446744073709551617", "{n};", "\"{n}\"", "", "{n}\x0b", "{n} {n}", "٥"]
CODINGS = ["chunked", "chunked", "chunked", "Chunked", "CHUNKED", "chunked, chunked", "identity", "identity, chunked", "gzip, chunked",
           "chunked, gzip", "xchunked", "chunked;q=1", "chunked,", ",chunked", " chunked", "chunked ", "\tchunked", "\x0bchunked", "chunked\0",
           "chunked\x85", "\"chunked\"", "chunked foo", "", "deflate", "x chunked"]
SIZES = ["{x}", "{x}", "{x}", "{x}", "0{x}", "00000000{x}", "+{x}", "-{x}", "0x{x}", "{x} ", " {x}", "{x};a=b", "{x};", "{x};a=\"b\r\nc\"", "{x};\n", "{x}\t",
         "{x}\0", "ffffffffffffffff", "10000000000000000{x}", "", "g", "{x},{x}", "{x}\r", "{x};\x7f", "{X}"]
NAMES = ["X-A", "x_a", "Transfer_Encoding", "Content_Length", "X-A ", " X-A", "X\tA", "X:A", "", "X\0A", "X-é", "X(A)", "Connection", "Keep-Alive",
         "Proxy-Connection", "Te", "Trailer", "Upgrade", "Expect", "X-Forwarded-For", "X-Amzn-RequestId", "Forwarded", "Content-Type", "Cookie",
         "Max-Forwards", "Via", "Date", "Range", "Authorization", "X-HTTP-Method-Override", "Http2-Settings", "Content-Encoding", "Host"]
VALUES = ["a", "a", "", " a ", "\ta\t", "a\0b", "a\rb", "a\nb", "a\r\n b", "a\r\n\tb", "é", "a\x7fb", "a\x01b", "close", "keep-alive", "transfer-encoding", "host",
          "content-length", "trailers", "100-continue", "websocket", "h2c", "a: b", "a\r\nX-Smuggled: 1", "x" * 500, "chunked", "{name}", "evil"]
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: {name}\r\n\r\n"


class Tricky:
    """One request after the other, each as `random` has it: mostly in order, with something wrong here and there."""

    def __init__(self, name, seed):
        self.name, self.random = name, random.Random(seed)

    def one(self, words, wrong=0.06):
        """The first of `words` is right."""
        word = self.random.choice(words) if self.random.random() < wrong * 4 else words[0]
        return word.replace("{name}", self.name)

    def end(self):
        return self.random.choice(ENDS) if self.random.random() < 0.04 else "\r\n"

    def line(self, name, value):
        colon = self.random.choice([": ", ":", " :", ":\t", " : ", "\t:", ""]) if self.random.random() < 0.06 else ": "
        return name + colon + value + self.end()

    def chunks(self):
        out = ""
        for _ in range(self.random.randrange(3)):
            data = "y" * self.random.randrange(1, 40)
            size = f"{len(data):x}"
            word = self.random.choice(SIZES) if self.random.random() < 0.15 else "{x}"
            out += word.replace("{x}", size).replace("{X}", size.upper()) + self.end() + data + self.end()
        out += self.random.choice(["00", "000", "0;a", "0 ", "-0", "0x0"]) if self.random.random() < 0.1 else "0"
        out += self.end()
        for _ in range(self.random.choice([0, 0, 0, 1, 2])):
            out += self.line(self.random.choice(["X-Trailer", *NAMES, "Content-Length", "Transfer-Encoding"]), self.random.choice(VALUES))
        return out + self.end()

    def request(self):
        random = self.random
        method = random.choice(METHODS[:8]) if random.random() < 0.9 else random.choice(METHODS)
        lines = [f"{method} {self.one(TARGETS)} {random.choice(VERSIONS) if random.random() < 0.15 else 'HTTP/1.1'}" + self.end()]
        fields = [self.line("Host", self.name)]
        if random.random() < 0.05:
            fields = random.choice([[], fields * 2, [*fields, self.line("Host", "evil")], [self.line("host", f"{self.name}:80")]])
        for _ in range(random.randrange(3)):
            fields.append(self.line(random.choice(NAMES), random.choice(VALUES).replace("{name}", self.name)))
        body, framing = "", random.choice(["none", "none", "length", "length", "chunked", "chunked", "both", "twice"])
        if framing in ("length", "both", "twice"):
            body = "z" * random.randrange(1, 40)
            length = len(body) + (random.choice([-1, 1, 5]) if random.random() < 0.05 else 0)
            for _ in range(2 if framing == "twice" else 1):
                word = random.choice(LENGTHS) if random.random() < 0.2 else "{n}"
                fields.append(self.line(random.choice(["Content-Length", "content-length"]), word.replace("{n}", str(length))))
        if framing in ("chunked", "both"):
            body = self.chunks()
            word = random.choice(CODINGS) if random.random() < 0.25 else "chunked"
            fields.append(self.line(random.choice(["Transfer-Encoding", "transfer-encoding"]), word))
        random.shuffle(fields)
        if random.random() < 0.03:
            fields.insert(0, random.choice([" folded: x", "\tx", "\r\n", "no colon"]) + self.end())
        text = "".join(lines + fields) + self.end() + body
        if random.random() < 0.3:
            text += SMUGGLED.replace("{name}", self.name)
        if random.random() < 0.03:
            text = text[:random.randrange(len(text) + 1)]
        return text.encode("latin1", "replace")


def send(name, seed, seconds):
    tricky, lock, over = Tricky(name, int(seed)), threading.Lock(), time.monotonic() + float(seconds)
    answers = collections.Counter()

    def work():
        while time.monotonic() < over:
            with lock:
                text = tricky.request()
            try:
                with socket.create_connection((name, 80), timeout=10) as connection:
                    connection.sendall(text)
                    connection.shutdown(socket.SHUT_WR)
                    answer = b""
                    while piece := connection.recv(65536):
                        answer += piece
                answers[answer[9:12].decode("latin1") or "closed"] += 1
            except OSError as error:
                answers[type(error).__name__] += 1
            answers["sent"] += 1

    threads = [threading.Thread(target=work) for _ in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(json.dumps(answers))


def keep(port):
    all_of_them, lock = [], threading.Lock()

    def serve(connection):
        with connection:
            came = b""
            try:
                connection.settimeout(20)
                came = connection.recv(65536)
                connection.settimeout(SILENCE)
                while piece := connection.recv(65536):
                    came += piece
            except TimeoutError:
                pass
            except OSError:
                return
            if came == FORGET:
                with lock:
                    told = json.dumps([base64.b64encode(piece).decode() for piece in all_of_them]).encode()
                    all_of_them.clear()
            else:
                if came:
                    with lock:
                        all_of_them.append(came)
                told = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            try:
                connection.settimeout(20)
                connection.sendall(told)
            except OSError:
                pass

    listener = socket.create_server(("", int(port)), backlog=1024)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def kept(port):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as connection:
        connection.sendall(FORGET)
        text = b""
        while piece := connection.recv(1 << 20):
            text += piece
    print(text.decode())


if __name__ == "__main__":
    {"send": send, "keep": keep, "kept": kept}[sys.argv[1]](*sys.argv[2:])
