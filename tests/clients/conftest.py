"""Connections of the stock ADBC driver, for the libraries that are built on it."""

import pytest
from adbc_driver_flightsql import dbapi


@pytest.fixture
def con(server):
    with dbapi.connect(server.flight, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cur(con):
    with con.cursor() as cursor:
        yield cursor
