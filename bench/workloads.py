"""The tables of prompts that benchmarks run. Made from common words with a stated seed, so any machine has the same ones."""

import random
from dataclasses import dataclass

SEED = 20260901

WORDS = """able about above across action active after again against agree air allow almost along already also always among
amount animal another answer appear apple area around arrive article artist attack author away baby back bank base beautiful
because become before began behind believe below best better between beyond big bird black blood blue board boat body book
born both bottom boy bread break bridge bring brother brown build building burn business buy call came capital car care carry
case cause center century certain chance change character child church circle city class clean clear climb close clothes cloud
coast cold color come common company complete consider contain control cook cool corner cotton could country course cover
create cross crowd dance danger dark daughter deal death decide deep degree describe desert design develop difference difficult
dinner direct discover distance doctor dollar door double draw dream dress drink drive early earth east education effect eight
electric element end energy engine enough enter equal escape evening event every example except exercise expect experience
explain face fact factory fair fall family famous farm fast father favor feel field fight figure final find fine finger finish
fire fish five flat floor flow flower follow food foot force foreign forest forget form forward found four free fresh friend
front fruit full future game garden gas gave general gentle give glass gold good government grand grass great green ground group
grow guess guide hair half hand happen happy hard hat head hear heart heat heavy help high hill history hold hole home horse hot
hour house human hundred idea imagine important inch increase industry insect instead interest iron island job join journey jump
keep key kind king kitchen knew lady lake land language large last late laugh law lead learn least leave left length less letter
level library life light line list listen little live local long look lost loud love low machine main major make map mark market
master material matter measure meat medicine meet member memory metal method middle might mile milk million mind minute mirror""".split()


@dataclass
class Workload:
    name: str
    says: str
    rows: int
    output: int  # tokens per row
    prompts: list  # one per row
    distinct: int  # prompts
    computed: int  # prompt tokens that must be computed, shared ones once


class Writer:
    """Writes texts of exactly n tokens, from words that are one token each, first or after a space."""

    def __init__(self, count_tokens):
        """count_tokens takes texts and returns the tokens of each as a prompt, with BOS."""
        self.count = count_tokens
        counts = count_tokens(WORDS + ["ten " + w for w in WORDS])
        first, later = counts[:len(WORDS)], counts[len(WORDS):]
        least = min(first)
        self.start = least - 1  # tokens in front, such as BOS
        self.words = [w for w, a, b in zip(WORDS, first, later) if a == least and b == least + 1]
        assert len(self.words) > 100, "too few of the words are one token in this model; the prompts need another list"

    def text(self, rng, tokens):
        return " ".join(rng.choice(self.words) for _ in range(tokens))

    def checked(self, prompts, tokens):
        found = set(self.count(prompts))
        assert found == {tokens}, f"prompts should have {tokens} tokens, and have {sorted(found)}"
        return prompts


def make(name, writer, rows, run):
    """The workload for one run; rows None is its own size. Each run has prompts of its own, so no run finds the last one's
    in a cache, save W2warm: the instruction of the W2 before it, with other rows."""
    own = 256 if name != "W3" else 512
    rows, start = rows or own, writer.start
    rng = random.Random(f"{SEED} {name} {run}")
    if name == "W1":
        prompts = writer.checked([writer.text(rng, 64 - start) for _ in range(rows)], 64)
        return Workload(name, "distinct prompts of 64 tokens, 32 out", rows, 32, prompts, rows, 64 * rows)
    if name in ("W2", "W2warm"):
        instruction = writer.text(random.Random(f"{SEED} W2 instruction {run}"), 380 - start)
        prompts = writer.checked([instruction + " " + writer.text(rng, 20) for _ in range(rows)], 400)
        kept = 0 if name == "W2" else 380
        says = "380-token instruction shared, 20 own, 16 out" + (", instruction seen before" if kept else "")
        return Workload(name, says, rows, 16, prompts, rows, 380 - kept + 20 * rows)
    assert name == "W3", name
    distinct = writer.checked([writer.text(rng, 64 - start) for _ in range(64)], 64)
    drawn = rng.choices(distinct, weights=[1 / k for k in range(1, 65)], k=rows)
    unequal = len(set(drawn))
    return Workload(name, f"Zipf over 64 prompts of 64 tokens ({unequal} drawn), 16 out", rows, 16, drawn, unequal, 64 * unequal)
