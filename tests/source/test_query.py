"""``--query``: what a query gives, where it differs from what the topic has."""

from __future__ import annotations

import pytest

from pykafka_store.databases.errors import DatabaseError
from pykafka_store.source.feed import SourceError
from tests.source.conftest import Lab

QUERY = "SELECT id, word FROM t ORDER BY word;"


def made(lab: Lab) -> None:
    lab.sql("CREATE TABLE t (id integer PRIMARY KEY, word text)")
    lab.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')")


def test_only_what_differs_is_sent(both: Lab) -> None:
    made(both)
    assert both.send(both.query(QUERY)).records == 3
    assert both.send(both.query(QUERY)).records == 0
    both.sql("UPDATE t SET word = 'TWO' WHERE id = 2")
    both.sql("DELETE FROM t WHERE id = 3")
    both.sql("INSERT INTO t VALUES (4, 'four')")
    report = both.send(both.query(QUERY), batch_size=2)
    assert (report.records, report.tombstones) == (3, 1)
    assert sorted(both.topic()[3:], key=str) == [
        ({"id": 2}, {"id": 2, "word": "TWO"}), ({"id": 3}, None), ({"id": 4}, {"id": 4, "word": "four"})
    ]  # fmt: skip
    both.sql("INSERT INTO t VALUES (3, 'three')")
    assert both.send(both.query(QUERY)).records == 1
    assert both.cluster.admin().describe_topics(["t"])[0].partitions
    assert both.notices == ["topic t did not exist and was created with 1 partition"]


def test_more_partitions_do_not_double_anything(both: Lab) -> None:
    made(both)
    both.send(both.query(QUERY))
    both.cluster.admin().create_partitions("t", 4)
    assert both.send(both.query(QUERY)).records == 0
    both.sql("UPDATE t SET word = 'n'")
    assert both.send(both.query(QUERY)).records == 3
    assert both.send(both.query(QUERY)).records == 0


def test_a_topic_with_records_of_others_is_refused(both: Lab) -> None:
    made(both)
    both.cluster.admin().create_topic("t")
    with both.cluster.producer() as producer:
        producer.send("t", [b"someone else's"], keys=[b"k"])
    with pytest.raises(SourceError, match="topic t has records already, and --query compares with all that is in it"):
        both.send(both.query(QUERY))


@pytest.mark.parametrize(
    ("query", "key", "reason"),
    [
        ("SELECT id, word FROM t", ["nothing"], "the query gives no column nothing, which --key names"),
        ("SELECT id, word, word FROM t", ["id"], "the query gives two columns word: name them apart with AS"),
        ("SELECT 1 AS id, word FROM t", ["id"], r'the query gives two rows of key \{"id":1\}: name more columns'),
        ("SELECT nonsense FROM t", ["id"], "can't run the query"),
        ("SELECT", ["id"], "can't run the query|gives no column id"),
        ("DELETE FROM t", ["id"], "can't run the query|gives no rows|changes the database"),
        ("DELETE FROM t RETURNING id, word", ["id"], "can't run the query|changes the database"),
        ("", ["id"], "can't run the query|gives no rows|gives no column"),
    ],
)
def test_a_query_has_to_make_sense(both: Lab, query: str, key: list[str], reason: str) -> None:
    made(both)
    with pytest.raises(DatabaseError, match=reason) as raised:
        both.send(both.query(query, key))
    assert not raised.value.retriable  # nobody would wait for another end of it
    assert both.sql("SELECT count(*) FROM t") == [(3,)]


def test_what_is_no_table_can_be_asked_for(both: Lab) -> None:
    made(both)
    query = "SELECT substr(word, 1, 1) AS letter, count(*) AS n, '%' AS s FROM t WHERE word LIKE '%' GROUP BY 1"
    assert both.send(both.query(query, ["letter"])).records == 2
    assert sorted(both.topic(), key=str) == [
        ({"letter": "o"}, {"letter": "o", "n": 1, "s": "%"}), ({"letter": "t"}, {"letter": "t", "n": 2, "s": "%"})
    ]  # fmt: skip


def test_a_query_may_end_with_a_comment(both: Lab) -> None:
    both.sql("CREATE TABLE t (id int)")
    both.sql("INSERT INTO t VALUES (1)")
    assert both.send(both.query("SELECT * FROM t -- all of it")).records == 1
