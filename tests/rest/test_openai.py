"""The HTTP port as OpenAI's own Python client sees it."""

import json
import time
import urllib.error
import urllib.request

import openai
import pytest

ASKED = "Germany: Berlin\nSpain: Madrid\nEgypt: Cairo\n{}:"  # a base model continues a pattern
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.http + "/v1", api_key="unused", max_retries=0, timeout=120) as c:
        yield c


def test_chat(client):
    answer = client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=32)
    choice = answer.choices[0]
    assert "Paris" in choice.message.content
    assert choice.message.role == "assistant" and choice.index == 0
    assert choice.finish_reason in ("stop", "length")
    assert answer.object == "chat.completion" and answer.model == "gemma" and answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < 120
    assert answer.usage.prompt_tokens > 5 and 0 < answer.usage.completion_tokens <= 32
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_query_header(client):
    raw = client.chat.completions.with_raw_response.create(model="gemma", messages=FRANCE, max_tokens=2)
    assert raw.headers["x-hyprstream-query"]
    assert raw.parse().choices[0].message.content


def test_chat_is_repeatable(client):
    """Temperature is 0 unless the request says otherwise."""
    texts = {client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=16).choices[0].message.content for _ in range(2)}
    assert len(texts) == 1


def test_seed(client):
    def sample(seed):
        r = client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=16, temperature=1.5, seed=seed)
        return r.choices[0].message.content

    assert sample(7) == sample(7)
    assert len({sample(s) for s in range(1, 5)}) > 1


def test_system_message_and_parts(client):
    answer = client.chat.completions.create(model="gemma", max_tokens=16, messages=[
        {"role": "developer", "content": "You answer in one word."},
        {"role": "user", "content": [{"type": "text", "text": "What is the capital"}, {"type": "text", "text": " of France?"}]},
    ])
    assert "Paris" in answer.choices[0].message.content


def test_choices(client):
    answer = client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=8, n=3, temperature=1.2, seed=1)
    assert sorted(c.index for c in answer.choices) == [0, 1, 2]
    assert answer.usage.prompt_tokens < 100, "the prompt is counted once"


def test_max_tokens_and_finish_reason(client):
    answer = client.completions.create(model="gemma", prompt="One, two, three,", max_tokens=4)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 4


def test_stop(client):
    answer = client.completions.create(model="gemma", prompt="One, two, three, four,", max_tokens=32, stop=["six", "never"])
    assert "five" in answer.choices[0].text and "six" not in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"
    one = client.completions.create(model="gemma", prompt="One, two, three, four,", max_tokens=32, stop="six")
    assert one.choices[0].text == answer.choices[0].text


def test_completion(client):
    answer = client.completions.create(model="gemma", prompt=ASKED.format("France"), max_tokens=4)
    assert "Paris" in answer.choices[0].text
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")


def test_completion_of_several_prompts(client):
    prompts = [ASKED.format(country) for country in ("France", "Italy", "Japan")]
    answer = client.completions.create(model="gemma", prompt=prompts, max_tokens=4)
    texts = {c.index: c.text for c in answer.choices}
    assert "Paris" in texts[0] and "Rome" in texts[1] and "Tokyo" in texts[2]


def test_chat_stream(client):
    whole = client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=48)
    with client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=48, stream=True,
                                        stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert sum(map(bool, pieces)) > 1, "more than one piece"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {c.object for c in chunks} == {"chat.completion.chunk"} and len({c.id for c in chunks}) == 1
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert reasons[-1] == whole.choices[0].finish_reason and not any(reasons[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage


def test_completion_stream(client):
    with client.completions.create(model="gemma", prompt="Once upon a time", max_tokens=24, stream=True) as stream:
        chunks = list(stream)
    assert len(chunks) > 3 and chunks[-1].choices[0].finish_reason
    assert all(c.usage is None for c in chunks)


def test_stream_of_choices(client):
    with client.chat.completions.create(model="gemma", messages=FRANCE, max_tokens=8, n=2, stream=True) as stream:
        texts = {}
        for c in stream:
            texts[c.choices[0].index] = texts.get(c.choices[0].index, "") + (c.choices[0].delta.content or "")
    assert set(texts) == {0, 1} and all(texts.values())


def test_first_piece_comes_before_the_last(client):
    start, times = time.monotonic(), []
    with client.completions.create(model="gemma", prompt="Once upon a time", max_tokens=200, stream=True) as stream:
        for _ in stream:
            times.append(time.monotonic() - start)
    assert times[0] < times[-1] / 2, times


def test_vanished_stream_frees_the_engine(client, server):
    stream = client.completions.create(model="gemma", prompt="Once upon a time", max_tokens=2000, stream=True,
                                       extra_body={"ignored": 1})
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 10
    while True:
        busy = json.loads(server("sql", "--format", "json", "SELECT busy FROM ai.engines WHERE model = 'gemma'").stdout)
        if busy and busy[0]["busy"] == 0:
            return
        assert time.monotonic() < deadline, busy
        time.sleep(0.2)


def test_models(client):
    listed = client.models.list().data
    assert [m.id for m in listed] == ["gemma"] and listed[0].object == "model" and listed[0].created > 0
    assert client.models.retrieve("gemma").id == "gemma"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nosuch")


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="nosuch", messages=FRANCE)
    assert e.value.code == "MODEL_NOT_FOUND" and e.value.param == "model" and "nosuch" in e.value.message
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nosuch", messages=FRANCE, stream=True)


@pytest.mark.parametrize("field, value, param", [
    ("temperature", "hot", "temperature"), ("temperature", 3, "temperature"), ("max_tokens", 0, "max_tokens"),
    ("max_tokens", 1.5, "max_tokens"), ("n", 0, "n"), ("stop", 5, "stop"), ("messages", [], "messages"),
    ("messages", "hi", "messages"), ("messages", [{"role": "robot", "content": "x"}], "messages[0].role"),
    ("response_format", {"type": "xml"}, "response_format"), ("logprobs", True, "logprobs"),
])
def test_bad_fields(client, field, value, param):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(**{"model": "gemma", "messages": FRANCE, "extra_body": {field: value}})
    assert e.value.code in ("INVALID_ARGUMENT", "UNSUPPORTED") and e.value.message
    assert e.value.param == param


def test_too_long_a_prompt(client):
    with pytest.raises(openai.BadRequestError) as e:
        client.completions.create(model="gemma", prompt="word " * 40000, max_tokens=4)
    assert e.value.code == "CONTEXT_OVERFLOW"


def post(url, body, **headers):
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def test_sql(server):
    status, text = post(server.http + "/v1/sql", {"sql": "SELECT generate('gemma', ?, max_tokens := 4) AS a, ? AS b",
                                                  "params": [ASKED.format("France"), 7]})
    body = json.loads(text)
    assert status == 200 and "Paris" in body["rows"][0][0] and body["rows"][0][1] == 7


def test_foreign_page(server):
    status, text = post(server.http + "/v1/sql", {"sql": "SELECT 1"}, **{"Origin": "https://evil.example", "Content-Type": "application/json"})
    assert status == 403 and "PERMISSION_DENIED" in text
    status, text = post(server.http + "/v1/sql", {"sql": "SELECT 1"}, Host="evil.example")
    assert status == 403 and "PERMISSION_DENIED" in text


def test_files_outside_the_allowed_directories(server):
    status, text = post(server.http + "/v1/sql", {"sql": "SELECT * FROM read_csv('/etc/passwd')"})
    assert status == 403 and "PERMISSION_DENIED" in text


def test_embeddings(client):
    """The client asks for base64 by itself, and decodes it."""
    texts = ["The cat sat on the mat.", "A kitten lies on a rug.", "Interest rates were raised."]
    answer = client.embeddings.create(model="gemma", input=texts)
    assert answer.model == "gemma" and [d.index for d in answer.data] == [0, 1, 2]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10
    a, b, c = (d.embedding for d in answer.data)
    assert len(a) == 640 and abs(sum(x * x for x in a) - 1) < 1e-4
    assert sum(x * y for x, y in zip(a, b)) > sum(x * y for x, y in zip(a, c))
    plain = client.embeddings.create(model="gemma", input=texts[0], encoding_format="float").data[0].embedding
    assert sum(x * y for x, y in zip(a, plain)) > 0.99
    with pytest.raises(openai.BadRequestError) as failed:
        client.embeddings.create(model="gemma", input=texts[0], dimensions=64)
    assert failed.value.param == "dimensions"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="nope", input="x")


MOOD = {"type": "json_schema", "json_schema": {"name": "mood", "strict": True, "schema": {
    "type": "object", "properties": {"mood": {"enum": ["good", "bad"]}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["mood", "stars"], "additionalProperties": False}}}


def test_json_schema(client):
    messages = [{"role": "user", "content": "Best coffee in town! Is this review good or bad?"}]
    answer = client.chat.completions.create(model="gemma", messages=messages, response_format=MOOD, max_tokens=64)
    value = json.loads(answer.choices[0].message.content)
    assert value["mood"] in ("good", "bad") and 1 <= value["stars"] <= 5
    parts = client.chat.completions.create(model="gemma", messages=messages, response_format=MOOD, max_tokens=64, stream=True)
    assert json.loads("".join(p.choices[0].delta.content or "" for p in parts if p.choices)) == value


def test_json_object_and_a_bad_schema(client):
    messages = [{"role": "user", "content": "Say something in JSON."}]
    answer = client.chat.completions.create(model="gemma", messages=messages, response_format={"type": "json_object"}, max_tokens=200)
    choice = answer.choices[0]
    assert choice.message.content.startswith("{")
    assert choice.finish_reason == "length" or isinstance(json.loads(choice.message.content), dict)
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "colour"}}}
    with pytest.raises(openai.BadRequestError, match="colour"):
        client.chat.completions.create(model="gemma", messages=messages, response_format=bad)
