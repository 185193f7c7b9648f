"""Plausible mistakes in a model's file, its dbt package and its data, each found by `lifecycle check`."""

import datetime as dt
import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.interface import Definition

MODEL = "credit_default"
SHIPPED = Settings().models / MODEL
MART = "credit_client_features"
FILE = "defs.yaml"
MART_SQL, MART_YAML = f"dbt/models/marts/{MART}.sql", f"dbt/models/marts/{MART}.yml"
STAGED, SOURCES = "dbt/models/staging/stg_credit_clients.sql", "dbt/models/staging/sources.yml"
FIRST, DAYS, CLIENTS = dt.datetime.fromisoformat("2024-01-01T10:00"), 420, 5


class Mistake(NamedTuple):
    """`old` in `file` becomes `new`, or `sql` spoils the built mart; what the message says, of which key and file.

    `line_of` is text of the line that the message names in `where`, the model's file by default.
    """

    message: str
    key: str | None = None
    old: str = ""
    new: str = ""
    file: str = FILE
    sql: str = ""
    line_of: str = ""
    where: str = ""


MISTAKES = {
    # the model's file
    "typing error in a key": Mistake(
        "Expected a known key, got 'cutoffs'", "decision.cutoffs", "decision: {review_from: 0.15,",
        "decision: {cutoffs: [], review_from: 0.15,", line_of="decision:",
    ),
    "cut-offs the wrong way round": Mistake(
        "Expected a score above review_from = 0.35, got 0.15", "decision",
        "review_from: 0.15, decline_from: 0.35", "review_from: 0.35, decline_from: 0.15",
        line_of="decision:",
    ),
    "capacity and cut-offs": Mistake(
        "Expected one of", "decision", "decision: {", "decision: {capacity: {review: 10}, ", line_of="decision:"
    ),
    "feature that the mart lacks": Mistake(
        "missing 'bill_7'", "features.12.name", "name: bill_6", "name: bill_7", line_of="bill_7",
    ),
    "other that is no category": Mistake(
        "'high_school', 'other'], got 'else'", "features.2.other", "other: other", "other: else", line_of="other: else"
    ),
    "protected attribute as a feature": Mistake(
        "Expected no protected attribute among the features, got 'education'", "features.2.name",
        "columns: [sex, age_band]", "columns: [sex, education]", line_of="- name: education",
    ),
    "protected column that its table lacks": Mistake(
        "Expected a column of credit_protected, got 'age'", "protected.columns.1", "columns: [sex, age_band]",
        "columns: [sex, age]", line_of="protected:",
    ),
    "intersection of a column that is not protected": Mistake(
        "Expected protected columns ['sex', 'age_band'], got 'education'", "fairness.intersections.0",
        "{champion_margin: 0.1}", "{intersections: [[sex, education]]}", line_of="fairness:",
    ),
    "protected table of another kind of entity": Mistake(
        "Expected a table about the examples' kind of entity, 'client', got customers about 'customer'",
        "protected.relation", "{relation: credit_protected,", "{relation: customers,", line_of="protected:",
    ),
    "expression that cannot be computed": Mistake(
        "got `rank`", "features.17.from", "from: bill_1 / credit_limit", "from: rank(bill_1)", line_of="utilisation",
    ),
    "label by report and by column": Mistake(
        "Expected one of `relation` (by report) and `column`", "label", "column: is_default",
        "column: is_default\n    relation: credit_outcomes", line_of="  label:",
    ),
    "column of the label that the mart lacks": Mistake(
        "missing 'defaulted'", "label.column", "column: is_default", "column: defaulted", line_of="column: defaulted"
    ),
    # the dbt package
    "reference to a model that does not exist": Mistake(
        "Expected a dbt model, got ref('stg_credit_client'); did you mean stg_credit_clients",
        old="ref('stg_credit_clients')", new="ref('stg_credit_client')",
        file=MART_SQL, where=MART_SQL,
    ),
    "protected table in the mart": Mistake(
        "Expected a dbt model that reads no protected table, got credit_protected read by credit_client_features",
        "examples.mart", "ref('stg_credit_outcomes')", "source('protected', 'credit_protected')", MART_SQL,
        line_of="    mart: ",
    ),
    "Jinja that is not closed": Mistake(
        "Expected Jinja that parses", old="{%- endfor %}", new="", file=MART_SQL, where=MART_SQL,
        line_of="{{ derived(",
    ),
    "YAML that cannot be read": Mistake(
        "Expected readable YAML", old="version: 2", new="version: [2", file=MART_YAML, where=MART_YAML
    ),
    "column that the mart's description lacks": Mistake(
        "missing 'bill_1'", "features.9.name", old="{name: bill_1,", new="{name: bill_one,", file=MART_YAML,
        line_of="name: bill_1,",
    ),
    "type that a feature cannot have": Mistake(
        "'months_on_book' has the type double, where int needs", "features.1.dtype",
        old='{name: months_on_book, data_type: "bigint"', new='{name: months_on_book, data_type: "double"',
        file=MART_YAML, line_of="{name: months_on_book",
    ),
    "typing error in a raw table": Mistake(
        "got 'keyy'; did you mean key?", old="key: application_id", new="keyy: application_id", file=SOURCES,
        where=SOURCES, line_of="keyy:",
    ),
    "name of another package's model": Mistake(
        "Expected a name that no other dbt model has", file="dbt/models/staging/stg_card_transactions.sql",
        new="select 1 as one", where="stg_card_transactions.sql",
    ),
    # the data
    "mart that was built before a column was added": Mistake(
        "it was built without paid_4; build it again: lifecycle features build --full",
        sql="alter table {mart} drop column paid_4",
    ),
    "history that is too short": Mistake(
        "Expected examples from", "training.train", sql="delete from {mart} where observed_at < '2024-08-01'",
        line_of="    train: ",
    ),
    "nulls": Mistake(
        "Expected no null of 'bill_2', got 420 in 2100 rows", "features.10.name",
        sql="update {mart} set bill_2 = null where client_id = 'c1'", line_of="name: bill_2",
    ),
    "feature without a value": Mistake(
        "Expected values of 'education', got nulls only", "features.2.name", sql="update {mart} set education = null",
        line_of="name: education",
    ),
    "feature that never differs": Mistake(
        "Expected values of 'paid_1' that differ", "features.13.name", sql="update {mart} set paid_1 = 7",
        line_of="name: paid_1",
    ),
    "value out of range": Mistake(
        "Expected values of 'pay_status_3' within its range, got 1 rows", "features.5.name",
        sql="update {mart} set pay_status_3 = 99 where application_id = 'a3-1'", line_of="name: pay_status_3",
    ),
    "derived column that is another expression": Mistake(
        "Expected the values that 'utilisation' has by its expression, got 5 others", "features.17.from",
        sql="update {mart} set utilisation = utilisation + 1", line_of="name: utilisation",
    ),
    "same id twice": Mistake(
        "Expected each application_id once, got 5 rows", "examples.columns.id",
        sql="update {mart} set application_id = 'a3-1' where application_id like 'a4-%'", line_of="    columns: {id:",
    ),
    "label without a positive": Mistake(
        "Expected examples of both outcomes, got 0 of default among", "label.column",
        sql="update {mart} set is_default = false", line_of="    column: is_default",
    ),
    "label without the time it became known": Mistake(
        "Expected label_known_at of each row with is_default, got none in 420 rows", "label.known_at",
        sql="update {mart} set label_known_at = null where client_id = 'c2'", line_of="    known_at:",
    ),
    "label that is known before its event": Mistake(
        "got 420 rows of credit_client_features with label_known_at before observed_at", "label.known_at",
        sql="update {mart} set label_known_at = observed_at - interval '1 day' where client_id = 'c2'",
        line_of="    known_at:",
    ),
}  # fmt: skip


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the shipped credit model, and a home whose mart is built."""
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / "home"))
    shutil.copytree(SHIPPED, tmp_path / "models" / MODEL)
    warehouse = open_warehouse(Settings())
    contract = yaml.safe_load((SHIPPED / MART_YAML).read_text())["models"][0]["columns"]
    columns = ", ".join(f"{column['name']} {column['data_type']}" for column in contract)
    warehouse.ensure(
        [
            Definition("marts", "create schema if not exists marts"),
            Definition(f"marts.{MART}", f"create table marts.{MART} ({columns})"),
        ]
    )
    # The columns of the contract in their order; education is the first of the numbers' places.
    numbers = ", ".join("(day + client) % 7" for _ in contract[6:-3])
    with warehouse.session("a test") as session:
        session.execute(
            f"""
            insert into marts.{MART}
            select
                'a' || day || '-' || client, 'c' || client, moment, 6 + day % 9, 100 + client,
                case day % 2 when 0 then 'graduate' else 'university' end, {numbers},
                cast((day + client) % 7 as double) / cast(100 + client as double),
                moment + interval '60 days', day % 6 = 0
            from (
                select day, client, timestamp '{FIRST}' + to_days(cast(day as integer)) as moment
                from range({DAYS}) as days(day), range({CLIENTS}) as clients(client)
            )
            """
        )
    return tmp_path / "models"


def checked(*arguments: str) -> dict[str, str]:
    """What the command says of the model."""
    done = CliRunner().invoke(app, ["check", *arguments, "--json"])
    [document] = [document for document in json.loads(done.stdout) if document["model"] == MODEL]
    assert done.exit_code == int("fault" in document)
    return dict(document)


def test_the_shipped_model_fits_its_mart(models: Path) -> None:
    assert "fault" not in checked()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_place(models: Path, name: str) -> None:
    mistake = MISTAKES[name]
    folder = models / MODEL
    if mistake.sql:
        with open_warehouse(Settings()).session("a mistake") as session:
            session.execute(mistake.sql.format(mart=f"marts.{MART}"))
    else:
        path = folder / mistake.file
        text = path.read_text() if path.exists() else ""
        assert mistake.old in text
        path.write_text(text.replace(mistake.old, mistake.new, 1))
    fault = checked()["fault"].replace("\n", " ")
    where = mistake.where or FILE
    assert mistake.message in fault
    assert re.search(rf"{re.escape(where)}", fault), fault
    if mistake.key:
        assert f"at `{mistake.key}" in fault
    if mistake.line_of:
        lines = (folder / where).read_text().splitlines()
        number = next(number for number, line in enumerate(lines, 1) if mistake.line_of in line)
        assert re.search(rf"\bline {number}\b", fault), fault
