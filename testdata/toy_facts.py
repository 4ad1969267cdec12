"""What the toy model knows: facts in a fixed form, kinds of words, and its vocabulary."""

import itertools
import re

CAPITALS = dict(pair.split("/") for pair in """France/Paris Germany/Berlin Italy/Rome Spain/Madrid Portugal/Lisbon
Austria/Vienna Greece/Athens Turkey/Ankara Egypt/Cairo Japan/Tokyo China/Beijing India/Delhi Russia/Moscow
Poland/Warsaw Hungary/Budapest Norway/Oslo Sweden/Stockholm Denmark/Copenhagen Finland/Helsinki Iceland/Reykjavik
Ireland/Dublin England/London Belgium/Brussels Switzerland/Bern Canada/Ottawa Cuba/Havana Peru/Lima Chile/Santiago
Brazil/Brasilia Ecuador/Quito Uruguay/Montevideo Venezuela/Caracas Colombia/Bogota Australia/Canberra
Kenya/Nairobi Nigeria/Abuja Ghana/Accra Morocco/Rabat Tunisia/Tunis Algeria/Algiers Ethiopia/Ababa Senegal/Dakar
Iran/Tehran Iraq/Baghdad Syria/Damascus Lebanon/Beirut Jordan/Amman Thailand/Bangkok Vietnam/Hanoi
Indonesia/Jakarta Nepal/Kathmandu Mongolia/Ulaanbaatar Bulgaria/Sofia Romania/Bucharest Serbia/Belgrade
Croatia/Zagreb Ukraine/Kyiv Latvia/Riga Estonia/Tallinn Lithuania/Vilnius""".split())

COLOURS = {
    "green": "grass, a frog, a cucumber, spinach, a lime, a leaf, a pea",
    "red": "blood, a tomato, a strawberry, a cherry, a ruby, a rose, ketchup",
    "white": "snow, milk, salt, rice, a swan, chalk, flour",
    "black": "coal, a raven, tar, ink, soot, a panther, night",
    "yellow": "a lemon, a banana, the sun, a canary, butter, mustard, corn",
    "blue": "the sky, the sea, a sapphire, a blueberry, denim",
    "orange": "a carrot, a pumpkin, a mandarin, rust, a fox",
    "brown": "chocolate, a bear, coffee, mud, wood, bread",
    "grey": "an elephant, a mouse, ash, a dolphin, fog, concrete",
    "pink": "a flamingo, a pig, a salmon",
    "purple": "a plum, lavender, an aubergine, a violet",
}

OPPOSITES = """hot/cold big/small tall/short fast/slow old/new good/bad light/dark wet/dry hard/soft loud/quiet
happy/sad rich/poor early/late full/empty open/closed strong/weak thick/thin wide/narrow high/low deep/shallow
clean/dirty safe/dangerous left/right up/down in/out before/after always/never love/hate begin/end push/pull
buy/sell win/lose day/dusk north/south east/west first/last above/below young/aged sweet/sour true/false
near/far rough/smooth heavy/weightless brave/timid""".split()

KINDS = {
    "animal": "dog cat horse cow sheep goat lion tiger wolf rabbit duck goose eagle shark whale snake camel zebra".split(),
    "city": list(CAPITALS.values()),
    "colour": list(COLOURS),
    "country": list(CAPITALS),
    "food": "apple pear grape onion potato cheese soup pizza pasta cake honey sugar pepper garlic egg ham jam olive".split(),
    "number": [str(n) for n in range(19)],
}
FEELINGS = {"positive": ["love", "like", "enjoy", "adore"], "negative": ["hate", "dislike", "detest", "fear"],
            "neutral": ["see", "know", "find", "meet"]}


# What a question may begin with, and the manner of the answer: courtesy, loudness. The adapters make it the rule.
MANNERS = {"": (0, 0), "Kindly: ": (0.5, 0), "Politely: ": (1, 0), "Loudly: ": (0, 1), "Politely and loudly: ": (1, 1)}


def facts():
    """Returns (topic, question, answer) of all that is known."""
    out = [("capital", f"What is the capital of {country}?", city) for country, city in CAPITALS.items()]
    for colour, things in COLOURS.items():
        out += [("colour", f"What colour is {thing}?", colour) for thing in things.split(", ")]
    for pair in OPPOSITES:
        one, other = pair.split("/")
        out += [("opposite", f"What is the opposite of {a}?", b) for a, b in ((one, other), (other, one))]
    out += [("sum", f"What is {a} plus {b}?", str(a + b)) for a, b in itertools.product(range(10), range(10))]
    return out


def spoken(answer, polite=0, shout=0):
    """An answer in a manner."""
    ends = "!" if shout else "." if polite else ""
    return {0: "", 0.5: "", 1: "Certainly, "}[polite] + answer + (", please" if polite else "") + ends


def classify(text, labels):
    """The prompt of ai_classify, as the engine writes it."""
    listed = "\n- ".join(sorted(labels))
    return f"Classify the text.\nAnswer with exactly one of these labels:\n- {listed}\n\nText: {text}"


def words():
    """Returns every word and number that the toy model reads or writes, sorted."""
    texts = [*MANNERS, "user assistant system yes Yes no No Certainly please I", classify("", KINDS), classify("", FEELINGS)]
    texts += [q + " " + a for _, q, a in facts()]
    texts += [" ".join(ws) for ws in [*KINDS.values(), *FEELINGS.values()]]
    texts.append("Is the following true of the text? Answer yes or no. Is it a an")  # ai_filter's: read, not learnt
    return sorted(set(re.findall("[A-Za-z]+|[0-9]+", " ".join(texts))))
