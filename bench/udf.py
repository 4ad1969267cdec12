"""What one would write without hyprstream: a DuckDB UDF in Python that calls llama-cpp-python row by row.

    .deps/bench-venv/bin/python bench/udf.py MODEL THREADS CONTEXT

throughput.py runs it. Reads {"prompts", "output"} as lines of JSON on stdin, answers each with its figures. Where the model
ends a text early, the row is shorter: that is in this side's favour.
"""

import json
import sys
import time

import duckdb
import llama_cpp


def main():
    model, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    llm = llama_cpp.Llama(model, n_ctx=context, n_threads=threads, n_threads_batch=threads, swa_full=True, verbose=False)
    counts = {"prompt": 0, "completion": 0}

    def ask(prompt, tokens):
        answer = llm.create_completion(prompt, max_tokens=tokens, temperature=0)
        counts["prompt"] += answer["usage"]["prompt_tokens"]
        counts["completion"] += answer["usage"]["completion_tokens"]
        return answer["choices"][0]["text"]

    db = duckdb.connect()
    db.create_function("ask", ask, ["VARCHAR", "INTEGER"], "VARCHAR")
    for line in sys.stdin:
        work = json.loads(line)
        db.execute("CREATE OR REPLACE TABLE prompts(i INTEGER, prompt VARCHAR)")
        db.executemany("INSERT INTO prompts VALUES (?, ?)", list(enumerate(work["prompts"])))
        counts |= {"prompt": 0, "completion": 0}
        read = llama_cpp.llama_perf_context(llm.ctx).n_p_eval
        begun = time.perf_counter()
        result = db.execute("SELECT i, ask(prompt, ?) FROM prompts", [work["output"]])
        rows = [result.fetchone()]
        first = time.perf_counter() - begun
        rows += result.fetchall()
        seconds = time.perf_counter() - begun
        assert len(rows) == len(work["prompts"]) and all(text is not None for _, text in rows), rows
        shared = counts["prompt"] - (llama_cpp.llama_perf_context(llm.ctx).n_p_eval - read)
        print(json.dumps(counts | {"seconds": seconds, "first": first, "shared": shared}), flush=True)


if __name__ == "__main__":
    main()
