"""Writes NAME.want beside each NAME.jinja: what Jinja2 itself renders, set up as transformers does.

    python inference/testdata/templates/render.py      (needs jinja2; 3.1.6 wrote the files that are here)

The templates follow those that the named models were published with, tools left shorter in some.
statements.jinja is our own: one of each thing that templates use.
"""

import datetime
import json
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DIALOGUES = {
    "one turn": [("user", "Hello!")],
    "white space": [("user", "  Hello \n there\n")],
    "system": [("system", "Be brief."), ("user", "Hello!")],
    "turns": [("user", "Hello!"), ("assistant", "Hi. "), ("user", "Who are you?")],
    "system and turns": [("system", " Be brief.\n"), ("user", "Hello!"), ("assistant", "<think>\nhm\n</think>\n\nHi."), ("user", "2 < 3?")],
    "twice the user": [("user", "Hello!"), ("user", "Anyone?")],
}


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_say"), [], [], body).set_lineno(lineno)

    def _say(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def main():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime(2026, 7, 5, 15, 2, 3).strftime(f)
    here = Path(__file__).parent
    for path in sorted(here.glob("*.jinja")):
        template = env.from_string(path.read_text().removesuffix("\n"))
        out = ""
        for name, turns in DIALOGUES.items():
            messages = [{"role": r, "content": c} for r, c in turns]
            try:
                text = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=True,
                                       bos_token="<s>", eos_token="</s>")
                out += f"==== {name}\n{text}\n"
            except jinja2.exceptions.TemplateError as e:
                out += f"==== {name}: raises\n{e.message}\n"
        path.with_suffix(".want").write_text(out)


if __name__ == "__main__":
    main()
