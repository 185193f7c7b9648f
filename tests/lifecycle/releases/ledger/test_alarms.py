"""Each alert is a record, and a ledger that cannot be used holds up none."""

import datetime as dt
import hashlib
import json
import logging

import pytest

from lifecycle.monitoring.alerts import Alert
from lifecycle.releases.alert_log import ALERTS_FILE, raise_alert, raise_once
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.verify import verify_ledger
from tests.harness.ledger_files import LedgerFiles, filled_ledger
from tests.harness.small_models import SmallStore

ALERT = Alert(
    kind="drift", model="card_fraud", as_of="2026-01-01", run_id="r", message="customer 4711", remedy="",
    raised_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), keys=("key",),
)  # fmt: skip


def test_an_alert_is_recorded_by_the_digest_of_its_line(store: SmallStore) -> None:
    raise_alert(store.settings, ALERT)
    raise_once(store.settings, ALERT)
    [line] = (store.settings.root / ALERTS_FILE).read_bytes().splitlines(keepends=True)
    _, record = read_records(store.settings.release_store)
    assert (record.kind, record.model, record.actor.name) == ("alarm", "card_fraud", "r")
    assert record.subjects == {"alert": hashlib.sha256(line).hexdigest()}
    assert record.facts == {"alert": "drift", "as_of": "2026-01-01"}
    assert verify_ledger(store.settings.release_store, store.keys.public_keys).problems == ()


def test_a_damaged_ledger_holds_up_no_alert(store: SmallStore, caplog: pytest.LogCaptureFixture) -> None:
    files = LedgerFiles(filled_ledger(store))
    del files.records[2]
    files.write()
    with caplog.at_level(logging.ERROR):
        raise_alert(store.settings, ALERT)
    assert json.loads((store.settings.root / ALERTS_FILE).read_text())["kind"] == "drift"
    assert "Not recorded in the ledger: an alert of the kind drift. Expected 8 records" in caplog.text
    assert "4711" not in caplog.records[-1].getMessage()
