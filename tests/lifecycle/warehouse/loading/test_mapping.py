from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.loading.mapping import MAPPINGS_DIR, nearest, raw_mapping, read_mapping, recognise
from lifecycle.warehouse.raw_tables import RAW

HANDBOOK = (
    "TRANSACTION_ID",
    "TX_DATETIME",
    "CUSTOMER_ID",
    "TERMINAL_ID",
    "TX_AMOUNT",
    "TX_TIME_SECONDS",
    "TX_TIME_DAYS",
    "TX_FRAUD",
)
VALID = """
name: bank
relation: card_transactions
columns: {transaction_id: id, occurred_at: at, customer_id: card, terminal_id: shop, amount: eur}
derived: {fraud_reports: {flag: is_fraud, delay_days: 3}}
"""


def test_the_handbooks_file_is_recognised_by_its_columns() -> None:
    mapping = recognise("card_transactions", HANDBOOK)
    assert mapping.name == "card_fraud_handbook"
    assert mapping.derived.fraud_reports is not None
    assert mapping.derived.fraud_reports.delay_days == 7
    assert mapping.relations == ("card_transactions", "fraud_reports")


@pytest.mark.parametrize("relation", list(RAW))
def test_raw_names_need_no_mapping(relation: str) -> None:
    found = recognise(RAW[relation].name, [*RAW[relation].column_names, "extra"])  # type: ignore[index]
    assert found == raw_mapping(RAW[relation].name)  # type: ignore[index]


def test_the_mapping_that_misses_least_is_taken_where_none_fits() -> None:
    columns = [name for name in HANDBOOK if name != "TX_AMOUNT"]
    assert recognise("card_transactions", columns).name == "card_fraud_handbook"


def test_every_mapping_that_ships_is_valid() -> None:
    files = sorted(MAPPINGS_DIR.glob("*.yaml"))
    assert [read_mapping(file).name for file in files] == [file.stem for file in files]


def test_the_digest_says_what_a_mapping_does_and_not_its_name(tmp_path: Path) -> None:
    digests = set()
    for text in (VALID, VALID.replace("bank", "other"), VALID.replace("delay_days: 3", "delay_days: 4")):
        file = tmp_path / "mapping.yaml"
        file.write_text(text)
        digests.add(read_mapping(file).digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        pytest.param(
            VALID.replace("amount: eur", "amuont: eur"), r"missing 'amount'.*did you mean 'amount'", id="typo"
        ),
        pytest.param(VALID.replace(", amount: eur", ""), r"missing 'amount'.*at `columns`", id="missing column"),
        pytest.param(VALID + "extra: 1\n", r"at `extra`", id="unknown key"),
        pytest.param(VALID.replace("delay_days: 3", "delay_days: -1"), r"derived.fraud_reports.delay_days", id="delay"),
        pytest.param(VALID.replace("card_transactions", "cards"), r"at `relation`", id="unknown relation"),
        pytest.param(
            "name: x\nrelation: terminals\ncolumns: {terminal_id: a, kind: b}\n"
            "derived: {fraud_reports: {flag: f, delay_days: 1}}",
            r"Expected relation card_transactions with derived fraud_reports, got terminals",
            id="derived from another relation",
        ),
        pytest.param("- a list", r"in .*mapping.yaml", id="no mapping"),
        pytest.param("a: [", r"Expected YAML", id="no YAML"),
    ],
)
def test_a_mapping_that_is_none_is_refused_with_file_and_key(tmp_path: Path, text: str, violation: str) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(text)
    with pytest.raises(LifecycleError, match=violation) as refused:
        read_mapping(file)
    assert str(file) in str(refused.value)


def test_a_missing_mapping_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=r"nowhere\.yaml"):
        read_mapping(tmp_path / "nowhere.yaml")


def test_the_nearest_name_ignores_capitals() -> None:
    assert nearest("Amount", ["AMOUNT", "kind"]) == " (did you mean 'AMOUNT'?)"
