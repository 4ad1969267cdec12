"""A connection that keeps the engine busy with one long statement, while something else is measured."""

import threading

from adbc_driver_flightsql import dbapi


class Neighbour:
    """Runs a statement until it is told to stop. It is made once the first row has come."""

    def __init__(self, flight, statement):
        self.conn = dbapi.connect(flight)
        self.cur = self.conn.cursor()
        self.started = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(statement,))
        self.thread.start()
        assert self.started.wait(120), "no row came"

    def run(self, statement):
        try:
            self.cur.execute(statement)
            for _ in self.cur.fetch_record_batch():
                self.started.set()
        except (dbapi.Error, OSError) as e:  # pyarrow's reader gives an OSError for the cancel
            if not self.started.is_set():
                print(e)

    def stop(self):
        """Cancels the statement, which must still be running: else what was measured beside it was not."""
        assert self.thread.is_alive(), "the statement beside ended too early"
        self.cur.adbc_cancel()
        self.thread.join()
        self.cur.close()
        self.conn.close()
