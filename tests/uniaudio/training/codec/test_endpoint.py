"""A judge behind an OpenAI-compatible endpoint, on loopback: what fails is one line that names it, without the key."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from uniaudio_schemas.errors import DataError, UniaudioError, UsageError

from uniaudio.training.codec import endpoint as endpoint_module
from uniaudio.training.codec.endpoint import KEY_VARIABLE, NUM_ATTEMPTS
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.judge import NUM_CALLS, Judge, build_judge

SPEECH = ClipFacts(domain="speech", transcript="let's go", caption="a man speaks")
RIGHT = 'Audio: speech\nDetails: "let\'s go"\nMeaning: a man speaks'
KEY = "sk-a-secret-0123456789"


class Server(ThreadingHTTPServer):
    """Answers each request with what `reply` says: a status, headers and a body; None cuts the connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str | None, dict[str, Any]]] = []
        self.reply: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes] | None] = lambda _: verdict(10, 10, 10)
        self.address = f"http://127.0.0.1:{self.server_port}/v1"

    def judge(self) -> Judge:
        return build_judge(self.address, "some-chat", torch.device("cpu"))

    def handle_error(self, *_: object) -> None:
        """Clients that went away are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers.get("Authorization"), body))
        if (reply := self.server.reply(body)) is None:
            self.close_connection = True
            return
        status, headers, content = reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization"), {}))

    def log_message(self, *_: object) -> None:
        """Quiet."""


def completion(content: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps({"choices": [{"message": {"content": content}}]}).encode()


def verdict(*scores: float) -> tuple[int, dict[str, str], bytes]:
    return completion(json.dumps({"scores": scores, "unsupported": 0}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(endpoint_module.time, "sleep", slept.append)
    return slept


def error_of(judge: Judge) -> UniaudioError:
    """What asking ends in: one line without the key, whatever was wrong."""
    with pytest.raises(UniaudioError) as found:
        judge.scores([RIGHT], [SPEECH])
    assert "\n" not in str(found.value) and KEY not in str(found.value)
    return found.value


def test_an_endpoint_judges_with_the_key_from_the_environment(server: Server) -> None:
    assert build_judge(server.address + "/", "some-chat", torch.device("cpu")).scores([RIGHT], [SPEECH]) == [1.0]
    path, key, body = server.seen[0]
    assert (path, key, body["model"], body["temperature"]) == (
        "/v1/chat/completions",
        f"Bearer {KEY}",
        "some-chat",
        0,
    )
    assert '"let\'s go"' in body["messages"][1]["content"]


def test_calls_to_an_endpoint_are_made_at_the_same_time_and_scores_keep_the_order_of_the_answers(
    server: Server,
) -> None:
    together = threading.Barrier(NUM_CALLS, timeout=10)  # broken, and the reply none, unless so many are there at once

    def reply(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        number = int(body["messages"][1]["content"].split("answer ")[1])
        together.wait()
        time.sleep(0.001 * (20 - number))  # the last are the first to be answered
        return verdict(number / 2, number / 2, number / 2)

    server.reply = reply
    answers = [f"answer {number}" for number in range(2 * NUM_CALLS)]
    scores = server.judge().scores(answers, [SPEECH] * len(answers))
    assert scores == pytest.approx([number / 20 for number in range(2 * NUM_CALLS)])


@pytest.mark.parametrize(
    ("status", "advice"),
    [(400, "check the address"), (401, KEY_VARIABLE), (403, KEY_VARIABLE), (404, "`judge_model`"), (307, "address")],
)
def test_a_refusal_is_asked_once_and_says_what_to_do(
    server: Server, waits: list[float], status: int, advice: str
) -> None:
    headers = {"Location": f"{server.address}/elsewhere"}
    server.reply = lambda _: (status, headers, f"no such key: {KEY}\n".encode())
    error = error_of(server.judge())
    assert isinstance(error, UsageError) and f"{server.address}/chat/completions refuses (HTTP {status})" in str(error)
    assert advice in str(error) and len(server.seen) == 1 and waits == []


def test_a_redirect_takes_the_key_to_no_other_address(server: Server, waits: list[float]) -> None:
    server.reply = lambda _: (302, {"Location": f"{server.address}/elsewhere"}, b"")
    assert "refuses (HTTP 302)" in str(error_of(server.judge()))
    assert [path for path, _, _ in server.seen] == ["/v1/chat/completions"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_asked_again_at_growing_distances_and_not_for_ever(
    server: Server, waits: list[float], status: int
) -> None:
    server.reply = lambda _: (status, {}, b"")
    error = error_of(server.judge())
    assert isinstance(error, UsageError) and f"does not after {NUM_ATTEMPTS} attempts (HTTP {status})" in str(error)
    assert len(server.seen) == NUM_ATTEMPTS and waits == [1.0, 2.0, 4.0]


def test_an_endpoint_that_recovers_is_a_judge_and_is_given_the_time_it_asks_for(
    server: Server, waits: list[float]
) -> None:
    replies = iter([(429, {"Retry-After": "7"}, b""), (503, {"Retry-After": "99999"}, b""), verdict(10, 10, 10)])
    server.reply = lambda _: next(replies)
    assert server.judge().scores([RIGHT], [SPEECH]) == [1.0]
    assert waits == [7.0, 30.0]


@pytest.mark.parametrize(
    "reply",
    [
        None,
        (200, {"Content-Length": "1000"}, b'{"choices'),
        (200, {}, b"\xff\xfe\x00"),
        (200, {}, b"[" * 100_000),
        (200, {}, b" " * (endpoint_module.MAX_REPLY_BYTES + 1)),
    ],
    ids=["cut", "half", "binary", "deep", "endless"],
)
def test_a_reply_that_cannot_be_read_is_asked_for_again_and_then_an_error(
    server: Server, waits: list[float], reply: tuple[int, dict[str, str], bytes] | None
) -> None:
    server.reply = lambda _: reply
    error = error_of(server.judge())
    assert isinstance(error, UsageError) and "does not after 4 attempts" in str(error) and len(server.seen) == 4


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"3"])
def test_a_reply_that_is_no_chat_completion_is_an_error_that_names_the_endpoint(server: Server, body: bytes) -> None:
    server.reply = lambda _: (200, {}, body)
    error = error_of(server.judge())
    assert isinstance(error, DataError) and f"{server.address}/chat/completions: the reply is no" in str(error)


@pytest.mark.parametrize("content", [None, ["parts"], ""])
def test_a_completion_without_text_counts_0(server: Server, content: object) -> None:
    server.reply = lambda _: completion(content)
    assert server.judge().scores([RIGHT], [SPEECH]) == [0.0]


@pytest.mark.parametrize("drops", [False, True], ids=["silent", "drop by drop"])
def test_a_server_that_takes_too_long_is_left(
    server: Server, waits: list[float], monkeypatch: pytest.MonkeyPatch, drops: bool
) -> None:
    monkeypatch.setattr(endpoint_module, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(endpoint_module, "NUM_ATTEMPTS", 2)
    over = threading.Event()

    def drip(self: _Handler) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if drops:
            self.send_response(200)
            self.end_headers()
        for _ in range(50):
            if not over.wait(0.02) and drops:
                self.wfile.write(b" ")

    monkeypatch.setattr(_Handler, "do_POST", drip)
    assert "TimeoutError: timed out" in str(error_of(server.judge()))
    over.set()


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://:80",
        "http://host:port/v1",
        "http://host:99999",
        "http://ho st/v1",
        "http://host/\n",
        "http://[x",
    ],
)
def test_an_address_that_is_none_is_an_error_before_anything_is_asked(address: str) -> None:
    with pytest.raises(UsageError, match=r"`judge` must be an address such as http://127\.0\.0\.1:8000/v1"):
        build_judge(address, "some-chat", torch.device("cpu"))


@pytest.mark.parametrize("address", [f"http://user:{KEY}@host/v1", f"http://host/v1?key={KEY}"])
def test_a_key_in_the_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UsageError, match=KEY_VARIABLE) as found:
        build_judge(address, "some-chat", torch.device("cpu"))
    assert KEY not in str(found.value)


@pytest.mark.parametrize("key", [f"{KEY}\nX-Other: 1", f"{KEY}é"])
def test_a_key_that_is_no_header_is_an_error_that_does_not_show_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    assert f"{KEY_VARIABLE} must be one line of ASCII" in str(error_of(server.judge()))
    assert server.seen == []


def test_an_endpoint_without_a_model_or_a_server_is_a_usage_error(waits: list[float]) -> None:
    with pytest.raises(UsageError, match="`judge_model` must name"):
        build_judge("http://127.0.0.1:9", "", torch.device("cpu"))
    assert "check that the server runs" in str(error_of(build_judge("http://127.0.0.1:9", "m", torch.device("cpu"))))
