"""A gRPC service that runs inside a host: shop.Cart of cart.proto, its messages written by hand so that no
generated code is needed.

Usage: grpc_server.py PORT
"""

import concurrent.futures
import sys
import time

import grpc


def decode(data):
    """`message Item { string name = 1; }`"""
    return data[2:2 + data[1]].decode() if data else ""


def encode(name):
    return b"\x0a" + bytes([len(name)]) + name.encode()


def add(item, context):
    context.set_trailing_metadata([("x-served-by", "cart")])
    return f"added {item}"


def refuse(item, context):
    context.abort(grpc.StatusCode.NOT_FOUND, f"no {item} here")


def count(item, _):
    for number in range(5):
        yield f"{item} {number}"


def talk(items, _):
    for item in items:
        yield f"heard {item}"


def slow(item, context):
    for _ in range(100):
        if not context.is_active():
            break
        time.sleep(0.1)
    return item


def handler(kind, function):
    return kind(function, request_deserializer=decode, response_serializer=encode)


server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Cart", {
    "Add": handler(grpc.unary_unary_rpc_method_handler, add),
    "Refuse": handler(grpc.unary_unary_rpc_method_handler, refuse),
    "Slow": handler(grpc.unary_unary_rpc_method_handler, slow),
    "Count": handler(grpc.unary_stream_rpc_method_handler, count),
    "Talk": handler(grpc.stream_stream_rpc_method_handler, talk),
})])
server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}")
server.start()
server.wait_for_termination()
