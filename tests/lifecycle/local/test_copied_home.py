"""An installation that was copied, restored or moved neither reads nor writes outside its own folder."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.releases.mlflow_locations import DATABASE_FILE, LOCATIONS, move_locations
from lifecycle.releases.mlflow_registry import Registry
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.private_home import run_python
from tests.harness.small_models import MODEL, SmallStore, score_request


def database_at(root: Path, artifacts: str) -> None:
    """A database with MLflow's columns and the locations that an installation stores."""
    root.mkdir(parents=True)
    with closing(sqlite3.connect(root / DATABASE_FILE)) as database, database:
        database.execute("create table experiments (experiment_id integer, artifact_location text)")
        database.execute("create table runs (artifact_uri text)")
        database.execute("create table logged_models (artifact_location text)")
        database.execute("create table model_versions (source text, storage_location text)")
        database.execute(
            "insert into experiments values (0, '/somewhere/mlruns/0'), (1, ?)", [f"{artifacts}/card_fraud"]
        )
        database.execute("insert into runs values (?), (null)", [f"{artifacts}/card_fraud/r1/artifacts"])
        database.execute("insert into logged_models values (?)", [f"{artifacts}/card_fraud/models/m-1/artifacts"])
        database.execute("insert into model_versions values ('models:/m-1', ?)", [f"{artifacts}/card_fraud/models/m-1"])


def locations(root: Path) -> list[str]:
    with closing(sqlite3.connect(root / DATABASE_FILE)) as database:
        stored = [row for table, column in LOCATIONS for row in database.execute(f"select {column} from {table}")]
    return [value for (value,) in stored if value is not None]


@pytest.mark.parametrize("original", ["/old/mlflow", "/old home/100%/mlflow", "/mlflow/artifacts/mlflow"])
def test_every_location_of_mlflow_is_moved_once(tmp_path: Path, original: str) -> None:
    root = tmp_path / "new home" / "mlflow"
    database_at(root, f"file://{quote(original)}/artifacts")
    assert move_locations(root) == 5
    base = (root / "artifacts").as_uri()
    assert locations(root) == [
        f"{base}/0",
        f"{base}/card_fraud",
        f"{base}/card_fraud/r1/artifacts",
        f"{base}/card_fraud/models/m-1/artifacts",
        "models:/m-1",
        f"{base}/card_fraud/models/m-1",
    ]
    assert move_locations(root) == 0


def test_a_location_of_a_server_or_an_object_store_stays(tmp_path: Path) -> None:
    root = tmp_path / "mlflow"
    database_at(root, "s3://bucket/mlflow/artifacts")
    with closing(sqlite3.connect(root / DATABASE_FILE)) as database, database:
        database.execute("update experiments set artifact_location = 'mlflow-artifacts:/0' where experiment_id = 0")
    before = locations(root)
    assert move_locations(root) == 0
    assert locations(root) == before


def test_an_installation_without_a_database_has_nothing_to_move(tmp_path: Path) -> None:
    assert move_locations(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_releases_roll_back_and_a_server_decides_from_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SmallStore.under(tmp_path / "original")
    for seed in (1, 2):
        original.publish(seed)
    with InProcessClient(create_app(settings_of(original))) as client:
        assert client.post(f"/v1/models/{MODEL}/score", json=score_request("d1")).status_code == 200
    shutil.copytree(original.settings.root, tmp_path / "copy")
    shutil.rmtree(original.settings.root)
    copy = SmallStore.under(tmp_path / "copy")
    monkeypatch.setenv("LIFECYCLE_HOME", str(copy.settings.root))
    rolled_back = CliRunner().invoke(app, ["rollback", MODEL, "--reason", "restored", "--json"])
    assert json.loads(rolled_back.stdout)["restores"] == 1
    with InProcessClient(create_app(settings_of(copy))) as client:
        assert client.post(f"/v1/models/{MODEL}/score", json=score_request("d2")).json()["release_number"] == 3
    replayed = CliRunner().invoke(app, ["replay", "d1", "--json"])
    assert replayed.exit_code == 0, replayed.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_the_warehouse_of_a_moved_installation_opens_in_its_new_place(tmp_path: Path) -> None:
    open_warehouse(Settings(home=tmp_path / "original"))
    (tmp_path / "original").rename(tmp_path / "moved")
    settings = Settings(home=tmp_path / "moved")
    assert open_warehouse(settings).location().name == str(settings.warehouse_path)
    assert open_warehouse(settings).query("select count(*) as n from raw.card_transactions").to_pylist() == [{"n": 0}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # MLflow and its dependencies warn of each other
def test_mlflow_and_dagster_go_on_in_a_copy_with_an_odd_path(tmp_path: Path) -> None:
    import dagster as dg

    home, copy = tmp_path / "original", tmp_path / "a copy, Größe (1)"
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with Registry(home / "mlflow").opened() as client:
        experiment = client.create_experiment("toy", artifact_location=(home / "mlflow" / "artifacts" / "toy").as_uri())
        run_id = client.create_run(experiment).info.run_id
        client.log_text(run_id, "first", "first.txt")
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("release"))
    shutil.copytree(home, copy)
    shutil.rmtree(home)
    # In a process of its own: MLflow caches the location of a run in memory.
    code = (
        "import json, sys, warnings; from pathlib import Path; warnings.simplefilter('ignore')\n"
        "from lifecycle.releases.mlflow_registry import Registry\n"
        "with Registry(Path(sys.argv[1]) / 'mlflow').opened() as client:\n"
        "    client.log_text(sys.argv[2], 'second', 'second.txt')\n"
        "    later = client.create_run(sys.argv[3]).info.run_id\n"
        "    client.log_text(later, 'third', 'third.txt')\n"
        "    print(json.dumps(sorted(file.path for file in client.list_artifacts(sys.argv[2]))))"
    )
    went_on = run_python(code, str(copy), run_id, experiment)
    assert json.loads(went_on.stdout) == ["first.txt", "second.txt"], went_on.stderr
    written = {path.name for path in (copy / "mlflow" / "artifacts").rglob("*.txt")}
    assert written == {"first.txt", "second.txt", "third.txt"}
    with dg.DagsterInstance.from_config(str(copy / "dagster")) as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("release")) is not None
        instance.report_runless_asset_event(dg.AssetMaterialization("release"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [copy.name]


@pytest.mark.parametrize("character", ["#", "%", "?", "*", "[", "'", "\n"])
def test_a_home_that_libraries_would_misread_is_refused_in_a_sentence(tmp_path: Path, character: str) -> None:
    with pytest.raises(LifecycleError, match="set LIFECYCLE_HOME to another folder"):
        open_warehouse(Settings(home=tmp_path / f"a{character}b"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["with spaces", "a;b,c=d&e", "Größe $HOME (1)"])
def test_any_other_home_works(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_HOME", str(tmp_path / name))
    made = CliRunner().invoke(app, ["init", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["home"] == str(tmp_path / name)
    loaded = open_warehouse(Settings()).query("select count(*) as n from raw.loads").to_pylist()
    assert loaded == [{"n": 0}]
    assert [path.name for path in tmp_path.iterdir()] == [name]
