"""The score route against an ASGI application that echoes, in one run: throughput, and latency at a fixed rate.

    python -m benchmarks.serving [--json] [--seconds 2] [--rounds 5] [--peers] [--check]

Servers run on one core, the load on another. The contestants take turns of a tenth of a second in rounds, and every
figure is the median over the rounds: of two that took turns, the ratio holds where absolute times do not. The echo runs
on the same server program, reads the same requests and answers as many bytes. `cpu us` is what a server's process takes
of its core for one request; `server busy` and `load busy` say which of the two was the limit.

Throughput: 8 keep-alive connections in a closed loop. Latency: 500 requests a second, counted from when each was due.
The model has 500 trees of 31 leaves and 30 inputs; requests go through a thousand rows (`one row` sends the same row
each time, which the branch predictor learns: the trees then cost a third). `traced` requests have a traceparent and an
X-Request-Id each.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# As a script, this file's folder is first on the path, and its name hides the package that it measures.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "benchmarks")]

from benchmarks import serving_claims as claims_of  # noqa: E402
from benchmarks.serving_claims import Claim, at_least, at_most, note  # noqa: E402
from benchmarks.serving_load import answers_of, on_uvloop  # noqa: E402
from benchmarks.serving_models import (  # noqa: E402
    BENCHMARK,
    CARD_FRAUD,
    Home,
    RowRequests,
    Trained,
    median_bytes,
    train_benchmark,
    train_card_fraud,
)
from benchmarks.serving_peers import PEERS, PeerError, default_folder, start_peer  # noqa: E402
from benchmarks.serving_servers import (  # noqa: E402
    Cores,
    Server,
    pinned,
    running,
    split_cores,
    start_echo,
    start_scorer,
)
from benchmarks.serving_turns import CONNECTIONS, QUANTILES, Contestant, in_rounds, summary  # noqa: E402

RATE = 500.0
LEAST_RATIO = 0.40
EXPLAINED = "score, 20 % explained"
SOURCES_APART = 10**9
"""Requests of one source are numbered from a multiple of this, so that no two ask with the same decision id."""


def expect_right_answers(server: Server, trained: Trained, requests: RowRequests) -> list[bytes]:
    """Bodies of a few answers, after checking that their margins equal the booster's bit for bit.

    Raises
    ------
    RuntimeError
        If an answer differs.
    """
    asked = [requests.take() for _ in range(20)]
    answers = on_uvloop(answers_of(server.port, asked))
    margins = trained.margins(trained.approved_rows(requests.row_count))
    for answer in answers:
        expected = margins[answer.number % requests.row_count]
        if answer.status != 200 or json.loads(answer.body)["margin"] != expected:
            raise RuntimeError(f"Expected margin {expected!r} from {server.name}, got {answer.status} {answer.body!r}")
    return [answer.body for answer in answers]


def has_reasons(server: Server, requests: RowRequests) -> bool:
    """Whether the server returns reasons on request."""
    answers = on_uvloop(answers_of(server.port, [requests.take() for _ in range(5)]))
    return all(json.loads(answer.body).get("reasons") is not None for answer in answers)


@dataclass
class Stage:
    """The servers of one run, stopped by `stack`, and their requests."""

    stack: contextlib.ExitStack
    folder: Path
    cores: Cores
    _sources: int = 0

    def requests(self, trained: Trained, *, rows: int | None = None, **others: Any) -> RowRequests:
        """Requests that share no decision id with any others of this run."""
        self._sources += 1
        chosen = trained.approved_rows() if rows is None else trained.approved_rows(rows)
        return RowRequests(trained, chosen, first=self._sources * SOURCES_APART, **others)

    def run(self, server: Server) -> Server:
        """Stop this server at the end."""
        return self.stack.enter_context(running(server))


@dataclass(frozen=True)
class Contest:
    """The contestants of the closed and of the open loop, with facts about the run."""

    trained: Trained
    closed: list[Contestant]
    opened: list[Contestant]
    answer_bytes: dict[str, int]
    is_explaining: bool


def contest(stage: Stage) -> Contest:
    """Train and release the models, start the servers, and check their answers."""
    trained, card_fraud = train_benchmark(), train_card_fraud()
    home = Home.under(stage.folder / "home")
    for each in (trained, card_fraud):
        home.publish(each.name, home.seal(each))
    written, synced = (
        stage.run(
            start_scorer(
                f"score {durability}",
                home.environment(),
                cores=stage.cores.servers,
                folder=stage.folder,
                log_durability=durability,
                required_models=json.dumps([BENCHMARK, CARD_FRAUD]),
            )
        )
        for durability in ("written", "fsync")
    )
    sizes = {
        f"/v1/models/{each.name}/score": median_bytes(expect_right_answers(written, each, stage.requests(each)))
        for each in (trained, card_fraud)
    }
    is_explaining = has_reasons(written, stage.requests(trained, explained_every=1))
    if not is_explaining:
        note("note: this server returns no reasons, so its explained decisions cost as much as the others")
    echo = stage.run(start_echo(sizes, cores=stage.cores.servers, folder=stage.folder))
    closed = [
        Contestant("echo", echo, stage.requests(trained)),
        Contestant("score", written, stage.requests(trained), "echo"),
        Contestant("score, fsync", synced, stage.requests(trained), "echo"),
        Contestant("score, 1 % explained", written, stage.requests(trained, explained_every=100), "echo"),
        Contestant("score, traced", written, stage.requests(trained, header=_trace), "echo"),
        Contestant("score, one row", written, stage.requests(trained, rows=1), "echo"),
        Contestant("echo, card_fraud", echo, stage.requests(card_fraud)),
        Contestant("score, card_fraud", written, stage.requests(card_fraud), "echo, card_fraud"),
    ]
    opened = [*closed[:2], Contestant(EXPLAINED, written, stage.requests(trained, explained_every=5), "echo")]
    return Contest(trained, closed, opened, sizes, is_explaining)


def _trace(row: int) -> str:
    """A trace parent and a request id for each row."""
    return f"traceparent: 00-{'a1' * 14}{row:04x}-{'b2' * 6}{row:04x}-01\r\nX-Request-Id: {row}\r\n"


def with_peers(stage: Stage, held: Contest, folder: Path) -> tuple[list[Contestant], dict[str, str]]:
    """Echo, score and every peer that can be installed and started, and why the others cannot."""
    contestants, missing = held.closed[:2], {}
    for peer in PEERS:
        try:
            note(f"installing {peer} below {folder} unless it is there")
            server, requests = start_peer(
                peer, folder, held.trained, held.trained.approved_rows(), cores=stage.cores.servers, logs=stage.folder
            )
        except PeerError as error:
            note(f"{peer}: not installed: {error}")
            missing[peer] = str(error)
            continue
        contestants.append(Contestant(peer, stage.run(server), requests, "echo"))
    return contestants, missing


def judged(throughput: Sequence[Mapping[str, Any]], latency: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """The claims about these figures."""
    closed, opened = ({row["server"]: row for row in rows} for rows in (throughput, latency))
    score = opened["score"]
    explained_ms = opened[EXPLAINED]["p99_ms"] - score["p99_ms"]
    return [
        at_least("requests/s of the echo's", closed["score"]["requests_per_second_ratio"], LEAST_RATIO),
        at_most("p50 of the echo's at 500 requests/s", score["p50_ms_ratio"], 2.5),
        at_most("p99 of the echo's at 500 requests/s", score["p99_ms_ratio"], 3.0),
        at_most("ms that 20 % explained decisions add to the p99", explained_ms, 3.0),
        at_most("failed requests", sum(row["failures"] for row in (*throughput, *latency)), 0),
    ]


def measure(rounds: int, seconds: float, peers_folder: Path | None) -> dict[str, Any]:
    """The whole document."""
    cores = split_cores()
    claims_of.note_cores(cores)
    document: dict[str, Any] = {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS, "rate": RATE}
    # In the repository's folder, since the decision log must lie on a disk for `fsync` to mean anything.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".serving-") as folder, contextlib.ExitStack() as stack:
        stage = Stage(stack, Path(folder), cores)
        held = contest(stage)
        document |= {"is_explaining": held.is_explaining, "answer_bytes": held.answer_bytes}
        with pinned(cores.load):
            throughput = summary(held.closed, in_rounds(held.closed, rounds, seconds))
            latency = summary(held.opened, in_rounds(held.opened, rounds, 1.5 * seconds, RATE))
        if peers_folder is not None:
            # Started only now: every further process takes some CPU time from the others.
            contestants, document["peers_missing"] = with_peers(stage, held, peers_folder)
            with pinned(cores.load):
                document["peers"] = summary(contestants, in_rounds(contestants, rounds, seconds))
            for row in document["peers"]:
                row["score_multiple"] = document["peers"][1]["requests_per_second"] / row["requests_per_second"]
    if max(row["load_busy"] for row in throughput) > 0.95:
        note("note: the load generator took all of its core in a turn; that server could have done more")
    score = next(row for row in throughput if row["server"] == "score")
    return {
        "ratio_to_echo": score["requests_per_second_ratio"],
        "ratio_to_echo_range": [score["lowest_ratio"], score["highest_ratio"]],
        "cpu_ratio_to_echo": 1 / score["cpu_us_ratio"],
        **document,
        "machine": claims_of.machine(cores),
        "throughput": throughput,
        "latency": latency,
        "claims": claims_of.as_documents(judged(throughput, latency)),
    }


def report(document: Mapping[str, Any]) -> None:
    """Print the tables."""
    rates = {"requests_per_second": ",.0f", "requests_per_second_ratio": ".3f", "lowest_ratio": ".3f"}
    rates |= {"highest_ratio": ".3f", "p50_ms": ".3f", "p99_ms": ".3f", "cpu_us": ".0f", "cpu_us_ratio": ".2f"}
    columns = {"server": "", **rates, "server_busy": ".2f", "load_busy": ".2f", "failures": "d"}
    print(f"Throughput, {document['connections']} connections, medians of {document['rounds']} rounds\n")
    claims_of.print_table(document["throughput"], columns)
    if "peers" in document:
        print("Beside other servers with the same booster\n")
        claims_of.print_table(document["peers"], columns | {"score_multiple": ".1f"})
    print(f"Latency at {document['rate']:.0f} requests/s, counted from when each was due\n")
    quantiles = dict.fromkeys(QUANTILES, ".3f")
    ratios = {"p50_ms_ratio": ".2f", "p99_ms_ratio": ".2f", "p99_9_ms_ratio": ".2f", "late_p99_ms": ".3f"}
    claims_of.print_table(document["latency"], {"server": "", **quantiles, **ratios, "failures": "d"})
    claims_of.print_claims([Claim(**claim) for claim in document["claims"]])


def main() -> int:
    """Measure and print."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one document for machines")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn; of an open loop's half as many more")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also MLServer and `mlflow models serve`")
    parser.add_argument("--peers-folder", type=Path, default=default_folder(), help="where these are installed")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a claim does not hold")
    chosen = parser.parse_args()
    document = measure(chosen.rounds, chosen.seconds, chosen.peers_folder if chosen.peers else None)
    if chosen.json:
        claims_of.print_document(document)
    else:
        report(document)
    return claims_of.exit_code([Claim(**claim) for claim in document["claims"]]) if chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
