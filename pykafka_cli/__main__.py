"""``python -m pykafka_cli`` is ``pykafka``."""

from pykafka_cli.main import pykafka

pykafka()
