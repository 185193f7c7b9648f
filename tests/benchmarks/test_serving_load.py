import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.serving_load import LOST, Answer, ClosedLoop, OpenLoop, Tally, answers_of, body_start, closed_loop

Respond = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class Numbered:
    """Requests that say their number."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def take(self) -> tuple[int, bytes]:
        number = next(self._numbers)
        return number, b"GET /%d HTTP/1.1\r\n\r\n" % number


async def serve(respond: Respond) -> tuple[asyncio.Server, int]:
    """A server that hands the number of each request to `respond`."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                await respond(int(head.split(b" ")[1][1:]), writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def answer_ok(number: int, writer: asyncio.StreamWriter) -> None:
    body = b"%d" % number
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def test_an_answer_is_whole_when_as_many_bytes_are_here_as_it_announced() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nabc"
    assert [body_start(whole[:size]) for size in range(len(whole))] == [-1] * len(whole)
    assert whole[body_start(whole) :] == b"abc"
    assert body_start(whole.replace(b"content-length", b"Content-Length")) == body_start(whole)


def test_an_answer_in_chunks_ends_with_the_empty_one() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert body_start(chunked) == chunked.index(b"2\r\nok")
    assert body_start(chunked[:-5]) == -1


def test_answers_belong_to_their_requests_even_where_they_come_in_pieces() -> None:
    async def in_pieces(number: int, writer: asyncio.StreamWriter) -> None:
        body = b"%d" % number
        for piece in (b"HTTP/1.1 200 OK\r\ncontent-", b"length: %d\r\n\r\n" % len(body), body):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    async def run() -> list[Answer]:
        server, port = await serve(in_pieces)
        async with server:
            return await answers_of(port, [Numbered().take(), (17, b"GET /17 HTTP/1.1\r\n\r\n")])

    assert [(answer.number, answer.status, answer.body) for answer in asyncio.run(run())] == [
        (0, 200, b"0"),
        (17, 200, b"17"),
    ]


def test_a_closed_loop_asks_each_request_once_and_counts_what_was_not_200() -> None:
    async def refuse_each_third(number: int, writer: asyncio.StreamWriter) -> None:
        if number % 3 == 2:
            writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n")
        else:
            await answer_ok(number, writer)

    async def run() -> tuple[Tally, list[int]]:
        server, port = await serve(refuse_each_third)
        tally, numbers = Tally(), list[int]()

        def keep(answer: Answer) -> None:
            tally(answer)
            numbers.append(answer.number)

        async with server:
            await closed_loop(port, Numbered(), keep, connections=3, seconds=0.1)
        return tally, numbers

    tally, numbers = asyncio.run(run())
    assert sorted(numbers) == list(range(len(numbers)))
    assert tally.failures == tally.statuses[429] == sum(number % 3 == 2 for number in numbers)
    assert len(tally.latencies) == len(numbers) - tally.failures


async def hang_up_on_each_fifth(number: int, writer: asyncio.StreamWriter) -> None:
    if number % 5 == 4:
        writer.close()
    else:
        await answer_ok(number, writer)


def test_a_request_whose_connection_goes_is_lost_and_the_load_goes_on() -> None:
    async def run() -> list[Answer]:
        server, port = await serve(hang_up_on_each_fifth)
        answers: list[Answer] = []
        async with server:
            load = ClosedLoop(port, Numbered(), answers.append, is_reconnecting=True)
            await load.start(2)
            while len(answers) < 30:
                await asyncio.sleep(0.005)
            await load.stop()
        return answers

    answers = asyncio.run(run())
    assert Counter(answer.number % 5 == 4 for answer in answers if answer.status == LOST).keys() == {True}
    assert all(answer.number % 5 != 4 for answer in answers if answer.status == 200)


@pytest.mark.parametrize("turns", range(12))
def test_a_load_that_ends_while_it_reconnects_loses_no_request_and_closes_every_connection(turns: int) -> None:
    async def run() -> tuple[list[Answer], int]:
        server, port = await serve(hang_up_on_each_fifth)
        answers: list[Answer] = []
        async with server:
            load = ClosedLoop(port, Numbered(), answers.append, is_reconnecting=True)
            await load.start(2)
            while not any(answer.status == LOST for answer in answers):
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            await load.stop()
        return answers, load.connections_open

    answers, connections_open = asyncio.run(run())
    assert connections_open == 0
    assert sorted(answer.number for answer in answers) == list(range(len(answers)))
    assert {answer.number % 5 for answer in answers if answer.status == LOST} == {4}


def test_an_open_loop_charges_a_stalled_server_for_every_request_that_was_due_meanwhile() -> None:
    async def stall_first(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            await asyncio.sleep(0.2)  # from when it has come, and so past the last one's due time
        await answer_ok(number, writer)

    async def run() -> list[Answer]:
        server, port = await serve(stall_first)
        answers: list[Answer] = []
        async with server:
            load = OpenLoop(port, Numbered(), answers.append, rate=200, connections=1)
            await load.run(0.1)
        return answers

    answers = sorted(asyncio.run(run()), key=lambda answer: answer.number)
    assert [answer.status for answer in answers] == [200] * 20
    assert [answer.due_at for answer in answers] == [answers[0].due_at + number / 200 for number in range(20)]
    assert all(answer.sent_at >= answers[0].answered_at > answers[-1].due_at for answer in answers[1:])
