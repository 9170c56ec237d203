"""An array as the text that PostgreSQL has for it: taken as it is, where no element is changed in silence."""

from __future__ import annotations

import pytest

from tests.sink.conftest import PostgresLab

CHANGED = [
    ("timestamp(3)[]", "{2024-01-01 10:00:00.1234567}"),
    ("timestamp(3)[]", '{NULL,"2024-01-01 10:00:00.1234567"}'),
    ("timestamp[]", "{2024-01-01 10:00:00+02}"),
    ("timestamptz[]", "{now}"),
    ("real[]", "{0.1234567890123}"),
    ("float8[]", "{1,0.1234567890123456789012}"),
    ("numeric(5,2)[]", "[0:1]={1.50,1.234}"),
    ("varchar(3)[]", '{"abc  "}'),
    ("date[]", "{{2024-01-01},{2024-01-01 10:00}}"),
    ("name[]", "{" + "x" * 64 + "}"),
    ("oid[]", "{-1}"),
    ("daterange[]", '{"[2024-01-01 10:00,2024-02-01)"}'),
]
KEPT = [
    ("timestamp(3)[]", "{2024-01-01 10:00:00.123,NULL,infinity}", '{"2024-01-01 10:00:00.123",NULL,infinity}'),
    ("real[]", "{ 0.1 , 1,-2.5e3, NaN}", "{0.1,1,-2500,NaN}"),
    ("float8[]", "{1,0.1,Infinity,1e22}", "{1,0.1,Infinity,1e+22}"),
    ("numeric(5,2)[]", "[0:1]={1.50,2}", "[0:1]={1.50,2.00}"),
    ("varchar(4)[]", r'{abc,"a\"b","",null,"NULL"}', r'{abc,"a\"b","",NULL,"NULL"}'),
    ("date[]", "{{2024-01-01},{2024-01-02}}", "{{2024-01-01},{2024-01-02}}"),
    ("bool[]", "{t,f,NULL}", "{t,f,NULL}"),
    ("int[]", "{1,-2, 3}", "{1,-2,3}"),
    ("bytea[]", r'{"\\x00ff"}', r'{"\\x00ff"}'),
    ("box[]", "{(1,1),(0,0);(2,2),(1,1)}", "{(1,1),(0,0);(2,2),(1,1)}"),
    ("daterange[]", '{"[2024-01-01,2024-02-01)"}', '{"[2024-01-01,2024-02-01)"}'),
    ("text[]", "{}", "{}"),
]


@pytest.mark.parametrize(("of_type", "text"), CHANGED)
def test_a_text_whose_elements_would_change_is_bad(pg: PostgresLab, of_type: str, text: str) -> None:
    pg.sql(f"CREATE TABLE t (a {of_type})")
    pg.send({"a": text})
    assert pg.sink(errors="dead-letter").dead_letters == 1
    assert pg.sql("SELECT * FROM t") == []


@pytest.mark.parametrize(("of_type", "text", "there"), KEPT)
def test_a_text_that_is_kept_is_taken(pg: PostgresLab, of_type: str, text: str, there: str) -> None:
    pg.sql(f"CREATE TABLE t (a {of_type})")
    pg.send({"a": text})
    assert pg.sink().is_good
    assert pg.sql("SELECT a::text FROM t") == [(there,)]
