"""schemathesis against the real server: every operation of its OpenAPI document, with what fits and what does not.

``FUZZ_EXAMPLES=2000 pytest tests/serving/http/test_fuzz_schema.py`` looks longer.
"""

import datetime as dt
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving.access.commands import add
from tests.harness.paths import ROOT
from tests.harness.server_process import Server, served
from tests.harness.small_models import SmallStore

COMMAND = Path(sys.executable).with_name("schemathesis")
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "40")
CONFIGURATION = """
hooks = "tests.harness.schemathesis_hooks"
warnings = false

# A millisecond, which the document allows for X-Timeout-Ms, may be over before the body is read or scored.
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 408, 409, 503]
[checks.negative_data_rejection]
expected-statuses = [401, 403, 404, 405, 408, 409, 413, 415, 422, 503]

# Tensors and tables must fit each other and the model, which JSON Schema cannot say; what has other bytes than JSON
# may be anything.
[[operations]]
include-path-regex = "/infer$|^/invocations$"
checks.positive_data_acceptance.enabled = false
"""


def check(server: Server, folder: Path, *options: str) -> None:
    """Fail with what schemathesis says if it finds a fault."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    done = subprocess.run(
        [
            *(COMMAND, "--config-file", configuration, "run", str(server.client.base_url.join("/openapi.json"))),
            *("--max-examples", EXAMPLES, "--continue-on-failure", "--no-color", "--request-timeout", "10"),
            *(("--generation-deterministic",) if EXAMPLES == "40" else ()),
            *options,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250 if EXAMPLES == "40" else None,
    )
    tested = re.search(r"Operations: +([0-9]+) selected / ([0-9]+) total", done.stdout)
    assert tested is not None, done.stdout + done.stderr
    assert tested[1] == tested[2]
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def violations(server: Server) -> list[str]:
    """What the server's log says of itself having failed."""
    return [line for line in server.said if "Traceback" in line or " ERROR " in line or " CRITICAL " in line]


@pytest.mark.long
def test_every_operation_answers_as_its_document_says(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    with served(store) as server:
        check(server, tmp_path)
        assert server.client.get("/readyz").status_code == 200
        assert violations(server) == []


@pytest.mark.long
def test_every_operation_asks_for_the_key_that_its_document_names(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    keys = tmp_path / "keys"
    secret, _ = add(keys, "fuzz", ["score", "read", "operate"], dt.datetime.now(dt.UTC))
    with served(store, SERVING_API_KEYS=str(keys)) as server:
        server.client.headers["X-Api-Key"] = secret
        check(server, tmp_path, "--header", f"X-Api-Key: {secret}", "--phases", "examples,coverage")
        assert violations(server) == []
        assert secret not in "".join(server.said)
