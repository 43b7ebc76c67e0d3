#!/usr/bin/env python3
"""A Kafka that keeps nothing: librdkafka's mock cluster, and a consumer of it.

    python3 tests/kafka.py TOPIC COUNT

Prints the address of a broker, then each record as a line of JSON, and ends after COUNT of them or when none comes for 60 seconds.
Needs confluent-kafka (tests/install.sh).
"""
import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

topic, count = sys.argv[1], int(sys.argv[2])
cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "x", "log_level": 0})
brokers = ",".join(f"{broker.host}:{broker.port}" for broker in cluster.list_topics(timeout=10).brokers.values())
# Asking for a topic makes it.
partitions = list(cluster.list_topics(topic, timeout=10).topics[topic].partitions)
print(brokers.split(",")[0], flush=True)
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
