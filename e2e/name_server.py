"""A small DNS server of a test's own, on loopback: addresses it is told, and TXT records that prove a domain."""

import socket
import struct
import threading

A, CNAME, PTR, TXT, AAAA = 1, 5, 12, 16, 28


class NameServer:
    """Answers over UDP. `addresses` is name -> addresses of both families. For `proven` domains it has every TXT record that VPC
    Lattice asks for: `_TOKEN.DOMAIN` says `vpc-lattice:TOKEN`. `aliases` is name -> the name it is a CNAME of; what the last
    of them leads to does not exist, as in every zone but Trellis's own. All else does not exist."""

    def __init__(self):
        self.addresses, self.aliases, self.proven, self.asked = {}, {}, set(), []
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
        records = []
        while name in self.aliases and len(records) < 8:
            target = self.aliases[name]
            records.append(record(name, CNAME, wire_name(target)))
            name = target.lower()
        data = self._data(name, kind)
        records += [record(name, kind, item) for item in data]
        code = 0 if data or name in self.addresses else 3
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
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


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name, kind, data):
    return wire_name(name) + struct.pack("!HHIH", kind, 1, 1, len(data)) + data
