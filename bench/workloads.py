"""The tables of prompts that benchmarks run. Made from common words with a stated seed, so any machine has the same ones."""

import math
import random
from dataclasses import dataclass, field

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
    output: int  # tokens per row; 0 where none are generated
    prompts: list  # one per row: the whole text, as a peer gets it
    computed: int  # prompt tokens that must be computed, shared ones once
    decoded: int  # completion tokens that must be computed, equal rows once
    kind: str = "generate"  # or "classify", "embed"
    options: dict = field(default_factory=dict)  # of generate, beside the usual ones
    adapters: list = None  # a set (a list of names with weights) per row
    instruction: str = ""  # of classify, with texts of the rows
    texts: list = None

    @property
    def rows(self):
        return len(self.prompts)


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


LABELS = ("mixed", "negative", "neutral", "positive")
ADAPTERS = 10  # a0 to a9
RENEWED = 0.01  # of W6's rows, for W6again
ROWS = {"W3": 512, "W5": 512}  # the others have 256


def make(name, writer, rows, run):
    """The workload for one run; rows None is its own size. Each run has prompts of its own, so no run finds the last one's
    in a cache, save those that are about it: W2warm (W2's instruction, other rows) and W6again (W6 with new rows)."""
    rows = rows or ROWS.get(name, 256)
    rng = random.Random(f"{SEED} {name} {run}")
    if name in ("W1", "W8W1"):
        return Workload(name, "distinct prompts of 64 tokens, 32 out", 32, distinct(writer, rng, rows), 64 * rows, 32 * rows)
    if name in ("W2", "W2warm", "W8W2"):
        return instructed(name, writer, rng, rows, run)
    if name == "W3":
        return zipf(name, writer, rng, rows)
    if name == "W4":
        return labelled(name, writer, rng, rows)
    if name == "W5":
        return Workload(name, "embeddings of 64 tokens", 0, distinct(writer, rng, rows), 64 * rows, 0, kind="embed")
    if name in ("W6", "W6again"):
        return kept(name, writer, rng, rows, run)
    mixed, pair = name in ("W7", "W7pairs"), name.startswith("W7pair")
    says = f"W1 with {f'{ADAPTERS} sets mixed row by row, each of' if mixed else 'one set for all rows, of'} {'two adapters' if pair else 'one adapter'}"
    sets = [adapter_set(i % ADAPTERS if mixed else 0, pair) for i in range(rows)]
    return Workload(name, says, 32, distinct(writer, rng, rows), 64 * rows, 32 * rows, adapters=sets)


def adapter_set(i, pair):
    """The i-th set of adapters: one, or two with weights that show in the text."""
    return [f"a{i}:7", f"a{(i + 1) % ADAPTERS}:3"] if pair else [f"a{i}"]


def distinct(writer, rng, rows):
    """Texts of 64 tokens."""
    return writer.checked([writer.text(rng, 64 - writer.start) for _ in range(rows)], 64)


def instructed(name, writer, rng, rows, run):
    said = "W2 instruction" if name == "W2warm" else f"{name} instruction"
    instruction = writer.text(random.Random(f"{SEED} {said} {run}"), 380 - writer.start)
    prompts = writer.checked([instruction + " " + writer.text(rng, 20) for _ in range(rows)], 400)
    seen = 380 if name == "W2warm" else 0
    says = "380-token instruction shared, 20 own, 16 out" + (", instruction seen before" if seen else "")
    return Workload(name, says, 16, prompts, 380 - seen + 20 * rows, 16 * rows)


def zipf(name, writer, rng, rows):
    drawn = rng.choices(distinct(writer, rng, 64), weights=[1 / k for k in range(1, 65)], k=rows)
    unequal = len(set(drawn))
    return Workload(name, f"Zipf over 64 prompts of 64 tokens ({unequal} drawn), 16 out", 16, drawn, 64 * unequal, 16 * unequal)


def classified(instruction, text):
    """The prompt that ai_classify makes for a model without a chat template (inference/choice.go), and its peer gets as text."""
    examples = "".join(f"Text: a text with the label {label}\nLabel: {label}\n\n" for label in LABELS)
    return f"{instruction}\n\n{examples}Text: {text}\nLabel:"


def labelled(name, writer, rng, rows):
    """127 tokens from BOS to the text, 38 from there: as many words as the rest of the prompt leaves."""
    whole, front = writer.count([classified("ten", "ten"), classified("ten", "").removesuffix(" \nLabel:")])
    before, after = front - 1, whole - front - 1
    instruction = writer.text(rng, 127 - before)
    texts = [writer.text(rng, 38 - after) for _ in range(rows)]
    return Workload(name, f"127 tokens shared, 38 own, one of {len(LABELS)} labels", 0,
                    writer.checked([classified(instruction, text) for text in texts], 165), 127 + 38 * rows, 0,
                    kind="classify", instruction=instruction, texts=texts)


def kept(name, writer, rng, rows, run):
    if name == "W6":
        return Workload(name, "W1 with a persistent cache, first run", 32, distinct(writer, rng, rows), 64 * rows, 32 * rows,
                        options={"cache": "persistent"})
    old = make("W6", writer, rows, run)
    new = max(1, math.ceil(rows * RENEWED))
    for i, text in zip(rng.sample(range(rows), new), distinct(writer, rng, new)):
        old.prompts[i] = text
    return Workload(name, f"the same rows, {new} of them replaced", 32, old.prompts, 64 * new, 32 * new, options=old.options)
