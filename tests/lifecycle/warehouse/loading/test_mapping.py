from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.warehouse.loading.mapping import mapping_files, nearest, raw_mapping, read_mapping, recognise
from lifecycle.warehouse.raw_tables import declarations

DECLARED = declarations()

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
    mapping = recognise("card_transactions", HANDBOOK, DECLARED)
    assert mapping.name == "card_fraud_handbook"
    assert mapping.derived["fraud_reports"].delay_days == 7
    assert mapping.relations == ("card_transactions", "fraud_reports")


@pytest.mark.parametrize("relation", list(DECLARED.tables))
def test_raw_names_need_no_mapping(relation: str) -> None:
    table = DECLARED.table(relation)
    assert recognise(relation, [*table.column_names, "extra"], DECLARED) == raw_mapping(table)


DIGESTS = {
    "card_transactions": "be633b9f8c14343205549c5b963ce17a4cf0c80a2b557a5fd319512a549424ad",
    "fraud_reports": "c4a0f2f3c625923deade49b29b5a7930a3246bc1ce7cd813650be90426c10b08",
    "customers": "7c5cb652267bafd7d6371e1be1dbe8ece599c1d5604fab0765b87181049bb894",
}


def test_a_file_that_an_earlier_version_loaded_stays_known() -> None:
    assert {name: raw_mapping(DECLARED.table(name)).digest for name in DIGESTS} == DIGESTS
    handbook = recognise("card_transactions", HANDBOOK, DECLARED).digest
    assert handbook == "4a8c5281abc787badbc77f64ec6fb10a08606b02a419c4955264f94bdbbed53b"


def test_the_mapping_that_misses_least_is_taken_where_none_fits() -> None:
    columns = [name for name in HANDBOOK if name != "TX_AMOUNT"]
    assert recognise("card_transactions", columns, DECLARED).name == "card_fraud_handbook"


def test_every_mapping_that_ships_is_valid() -> None:
    files = [file for project in dbt_projects(Settings()) for file in mapping_files(project)]
    assert [read_mapping(file, DECLARED).name for file in files] == [file.stem for file in files] != []


def test_the_digest_says_what_a_mapping_does_and_not_its_name(tmp_path: Path) -> None:
    digests = set()
    for text in (VALID, VALID.replace("bank", "other"), VALID.replace("delay_days: 3", "delay_days: 4")):
        file = tmp_path / "mapping.yaml"
        file.write_text(text)
        digests.add(read_mapping(file, DECLARED).digest)
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
        pytest.param(
            VALID.replace("card_transactions", "cards"),
            r"got 'cards'; the .* - at `relation`, line 3",
            id="unknown",
        ),
        pytest.param(
            "name: x\nrelation: terminals\ncolumns: {terminal_id: a, kind: b}\n"
            "derived: {fraud_reports: {flag: f, delay_days: 1}}",
            r"Expected a table that refers to terminals .*got 'fraud_reports' - at `derived.fraud_reports`, line 4",
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
        read_mapping(file, DECLARED)
    assert str(file) in str(refused.value)


def test_a_missing_mapping_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=r"nowhere\.yaml"):
        read_mapping(tmp_path / "nowhere.yaml", DECLARED)


def test_the_nearest_name_ignores_capitals() -> None:
    assert nearest("Amount", ["AMOUNT", "kind"]) == " (did you mean 'AMOUNT'?)"
