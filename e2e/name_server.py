"""A small DNS server of a test's own, on loopback: addresses it is told, and TXT records that prove a domain."""

import socket
import struct
import threading

A, TXT, AAAA = 1, 16, 28


class NameServer:
    """Answers over UDP. `addresses` is name -> addresses of both families. For `proven` domains it has every TXT record that VPC
    Lattice asks for: `_TOKEN.DOMAIN` says `vpc-lattice:TOKEN`. All else does not exist."""

    def __init__(self):
        self.addresses, self.proven, self.asked = {}, set(), []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "%s:%d" % self.socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(self._answer(query), client)

    def close(self):
        self.socket.close()

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        kind, _ = struct.unpack("!HH", query[at + 1:at + 5])
        name, question = ".".join(labels), query[12:at + 5]
        self.asked.append((name, kind))
        data = self._data(name, kind)
        code = 0 if data or name in self.addresses else 3
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(data), 0, 0)
        records = (b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(item)) + item for item in data)
        return head + question + b"".join(records)

    def _data(self, name, kind):
        if kind in (A, AAAA):
            family = socket.AF_INET if kind == A else socket.AF_INET6
            own = [address for address in self.addresses.get(name, ()) if (":" in address) == (kind == AAAA)]
            return [socket.inet_pton(family, address) for address in own]
        token, _, domain = name.partition(".")
        if kind == TXT and domain in self.proven and token.startswith("_"):
            text = f"vpc-lattice:{token[1:]}".encode()
            return [bytes([len(text)]) + text]
        return []
