"""hyprstream as a side of a comparison: the built server, asked in SQL over Flight by the ADBC driver."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from adbc_driver_flightsql import dbapi

import adapters
from serving import MODEL, Server
from sides import ROW_TOKENS, THREADS, Run
from timing import Stopwatch
from workloads import ADAPTERS, LABELS


class Hyprstream:
    name = "hyprstream"

    def __init__(self, folder, slots=None, row_tokens=ROW_TOKENS, files=()):
        """slots None leaves their number to hyprstream. files: more folders that statements may read."""
        self.folder = Path(folder)
        reach = (MODEL.parent, self.folder, *files)
        self.server = Server(self.folder).start(*(a for path in reach for a in ("--allow-dir", path)))
        try:
            options = [f"context_length={row_tokens}", f"threads={THREADS}"] + ([f"slots={slots}"] if slots else [])
            self.server("model", "load", MODEL, "--name", "gemma", *(a for o in options for a in ("--with", o)))
            self.conn = dbapi.connect(self.server.flight, autocommit=True)
        except BaseException:
            self.server.stop()
            raise

    def stop(self):
        self.conn.close()
        self.server.stop()

    def sql(self, statement, **tables):
        """The rows of a statement, after tables (lists of texts by name) have been stored."""
        with self.conn.cursor() as cur:
            for name, texts in tables.items():
                cur.adbc_ingest(name, pa.table({"i": range(len(texts)), "text": texts}), mode="replace")
            cur.execute(statement)
            return cur.fetchall()

    def create_adapters(self):
        for i, path in enumerate(adapters.write(MODEL, self.folder / "adapters", ADAPTERS)):
            self.sql(f"CREATE ADAPTER a{i} FOR MODEL gemma FROM '{path}'")

    def count_tokens(self, texts):
        """Tokens of prompts with these texts: count_tokens, and what the engine puts in front, such as BOS."""
        [(front,)] = self.sql("""SELECT prompt_tokens - count_tokens('gemma', 'ten')
                                 FROM generate('gemma', 'ten', max_tokens := 1, raw := true)""")
        return [front + n for n, in self.sql("SELECT count_tokens('gemma', text) FROM texts ORDER BY i", texts=texts)]

    def vectors(self, texts):
        return [v for v, in self.sql("SELECT embed('gemma', text) FROM texts ORDER BY i", texts=texts)]

    def texts(self, work, rows, adapters=True):
        """What some rows of a workload generate, in one statement."""
        columns = {"i": list(rows), "text": [work.prompts[i] for i in rows], "adapter": [work.adapters[i] for i in rows]}
        with self.conn.cursor() as cur:
            cur.adbc_ingest("prompts", pa.table(columns), mode="replace")
            cur.execute(statement(work if adapters else replace(work, adapters=None)))
            return [text for _, text in sorted(cur.fetchall())]

    def used(self):
        """The row of ai.usage for the statement before this one, by column."""
        with self.conn.cursor() as cur:
            cur.execute("SELECT * FROM ai.usage ORDER BY finished_at DESC LIMIT 1")
            return dict(zip([d[0] for d in cur.description], cur.fetchone()))

    def run(self, work, model="gemma"):
        columns = {"i": range(work.rows), "text": work.texts or work.prompts}
        if work.adapters:
            columns["adapter"] = work.adapters
        with self.conn.cursor() as cur:
            cur.adbc_ingest("prompts", pa.table(columns), mode="replace")
            watch, rows = Stopwatch(), 0
            cur.execute(statement(work, model))
            for batch in cur.fetch_record_batch():
                watch.row()
                rows += batch.num_rows
                assert batch.column(1).null_count == 0, "a row failed"
            watch.stop()
        assert rows == work.rows, (rows, work.rows)
        used = self.used()
        return Run(rows, watch.seconds, watch.first, used["prompt_tokens"], used["shared_tokens"], used["completion_tokens"],
                   used["cached_rows"])


def statement(work, model="gemma"):
    """The SELECT of a workload over its table, prompts."""
    if work.kind == "classify":
        labels = ", ".join(f"'{label}'" for label in LABELS)
        return f"SELECT i, ai_classify(text, [{labels}], instruction := '{work.instruction}', model := 'gemma') FROM prompts"
    if work.kind == "embed":
        return "SELECT i, embed('gemma', text) FROM prompts"
    options = [f"max_tokens := {work.output}", "ignore_eos := true", "raw := true"]
    options += [f"{name} := '{value}'" for name, value in work.options.items()]
    if work.adapters:
        options.append("adapter := adapter")
    return f"SELECT i, generate('{model}', text, {', '.join(options)}) FROM prompts"

