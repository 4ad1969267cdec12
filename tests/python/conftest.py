"""Connections of the stock ADBC driver."""

import pytest
from adbc_driver_flightsql import dbapi


@pytest.fixture
def connect(server):
    """Makes connections, closed after the test. As DB-API says, they begin transactions unless autocommit is on."""
    opened = []

    def make(autocommit=False, **options):
        opened.append(dbapi.connect(server.flight, autocommit=autocommit, db_kwargs=options or None))
        return opened[-1]

    yield make
    for con in opened:
        con.close()


@pytest.fixture
def con(connect):
    return connect(autocommit=True)


@pytest.fixture
def cur(con):
    with con.cursor() as cursor:
        yield cursor


@pytest.fixture
def table(cur):
    """The name of a table (id INTEGER, name VARCHAR) with three rows, dropped after the test."""
    cur.execute("CREATE OR REPLACE TABLE people (id INTEGER, name VARCHAR)")
    cur.executemany("INSERT INTO people VALUES (?, ?)", [(1, "Ada"), (2, "Grace"), (3, None)])
    yield "people"
    cur.execute("DROP TABLE people")
