#!/usr/bin/env python3
"""A Kafka that keeps nothing: librdkafka's mock cluster, and a consumer of it.

    python3 tests/kafka.py TOPIC COUNT [CERTIFICATES]

Prints the address of a broker, then each record as a line of JSON, and ends after COUNT of them or when none comes for 60 seconds.
With a folder of certificates (ca.pem, server.pem, server.key), producers reach the brokers by TLS only and must show one of its clients'
certificates: the mock cluster has no TLS, so OpenSSL stands in front of each broker.
Needs confluent-kafka (tests/install.sh).
"""
import json
import socket
import ssl
import struct
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition



def exactly(stream, length):
    found = b""
    while len(found) < length:
        part = stream.recv(length - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def forward(source, target, change):
    """Frames of the Kafka protocol, as they are or changed, until either side ends."""
    try:
        while True:
            length = exactly(source, 4)
            target.sendall(length + change(exactly(source, struct.unpack(">i", length)[0])))
    except (EOFError, OSError):
        pass
    finally:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def fronts(ports, folder):
    """A TLS front for each broker; in answers, brokers have the ports of their fronts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
    context.load_verify_locations(f"{folder}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    listeners = {port: socket.create_server(("127.0.0.1", 0)) for port in ports}
    place = lambda port: b"127.0.0.1" + struct.pack(">i", port)
    moved = [(place(port), place(listener.getsockname()[1])) for port, listener in listeners.items()]

    def move(answer):
        for old, new in moved:
            answer = answer.replace(old, new)
        return answer

    def take(plain, port):
        try:
            client = context.wrap_socket(plain, server_side=True)
        except OSError:
            return
        broker = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=forward, args=(client, broker, lambda frame: frame), daemon=True).start()
        forward(broker, client, move)

    def listen(listener, port):
        while True:
            threading.Thread(target=take, args=(listener.accept()[0], port), daemon=True).start()

    for port, listener in listeners.items():
        threading.Thread(target=listen, args=(listener, port), daemon=True).start()
    return {port: listener.getsockname()[1] for port, listener in listeners.items()}


topic, count = sys.argv[1], int(sys.argv[2])
cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "x", "log_level": 0})
brokers = ",".join(f"{broker.host}:{broker.port}" for broker in cluster.list_topics(timeout=10).brokers.values())
# Asking for a topic makes it.
partitions = list(cluster.list_topics(topic, timeout=10).topics[topic].partitions)
first = brokers.split(",")[0]
if len(sys.argv) > 3:
    ports = fronts([int(broker.rsplit(":", 1)[1]) for broker in brokers.split(",")], sys.argv[3])
    first = f"127.0.0.1:{ports[int(first.rsplit(':', 1)[1])]}"
print(first, flush=True)
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "log_level": 0, "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
last = time.monotonic()
while count > 0 and time.monotonic() - last < 60:
    record = consumer.poll(0.5)
    if record is None or record.error():
        continue
    last, count = time.monotonic(), count - 1
    print(json.dumps({
        "partition": record.partition(), "key": record.key().decode(), "value": record.value().decode(),
        "headers": {name: value.decode() for name, value in record.headers()}, "time": record.timestamp()[1],
    }), flush=True)
