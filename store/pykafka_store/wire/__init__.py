"""A Kafka listener on a data directory (`pykafka serve`): one process more that works on it, by Kafka's protocol.

It holds nothing that the directory lacks: records, topics, settings, offsets and who owns what are where the shell
commands find them. What only clients of the protocol know (a producer's sequences, the members of a classic group) is
either found again in the log after a restart, or made anew by the clients, as with a broker.
"""
