import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.access.api_keys import ApiKeys
from serving.access.commands import add, main, revoke
from serving.access.key_file import KEY_LENGTH, read_key_file
from serving.contract.documents import ContractError
from serving.errors import UnauthorizedError
from tests.harness.paths import ROOT

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


@pytest.fixture
def key(path: Path) -> str:
    return add(path, "engine", ["score", "read"], NOW)[0]


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.access", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_command_prints_a_key_that_works_alone_on_standard_output(path: Path) -> None:
    done = run("add", "engine", "--scopes", "score,read", "--file", str(path), "--expires-days", "90")
    key = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    assert len(key) == KEY_LENGTH
    assert key not in done.stderr
    assert ApiKeys(path).authenticate(bearer(key), None).scopes == {"score", "read"}
    [entry] = read_key_file(path)[0]
    assert entry.expires_at == entry.created_at + dt.timedelta(days=90)
    listed = run("list", "--file", str(path))
    assert "engine  valid  score,read" in listed.stdout
    assert key not in listed.stdout
    assert entry.key_sha256 not in listed.stdout


def test_the_command_speaks_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["add", "ops", "--scopes", "operate", "--file", str(path), "--json"])
    added = json.loads(capsys.readouterr().out)
    assert ApiKeys(path).authenticate(bearer(added["key"]), None).name == "ops"
    main(["revoke", "ops", "--file", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)["state"] == "revoked"
    main(["list", "--file", str(path), "--json"])
    [listed] = json.loads(capsys.readouterr().out)["keys"]
    assert (listed["name"], listed["state"], listed["scopes"]) == ("ops", "revoked", ["operate"])
    assert "key" not in listed


@pytest.mark.parametrize(
    ("arguments", "violation"),
    [
        (["add", "engine", "--scopes", "score"], "Error: Expected a name that no current or revoked key has"),
        (["add", "No Name", "--scopes", "score"], "Error: Expected 1 to 64 of a-z"),
        (["add", "other", "--scopes", "everything"], "Expected some of score,read,operate"),
        (["add", "other", "--scopes", "score", "--expires-days", "0"], "Expected a number of days from 1 to 36500"),
        (["revoke", "unknown"], "Error: Expected one of the names ['engine']"),
    ],
)
def test_the_command_teaches_and_changes_nothing(
    path: Path, key: str, arguments: list[str], violation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = path.read_bytes()
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--file", str(path)])
    assert violation in f"{caught.value.code}{capsys.readouterr().err}"
    assert path.read_bytes() == before


def test_a_revoked_name_is_not_given_again(path: Path, key: str) -> None:
    assert revoke(path, "engine", NOW).revoked_at == NOW
    assert revoke(path, "engine", NOW + dt.timedelta(days=1)).revoked_at == NOW
    with pytest.raises(ContractError, match="Expected a name that no current or revoked key has"):
        add(path, "engine", ["score"], NOW)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="Expected a folder"):
        add(tmp_path / "none" / "keys.jsonl", "engine", ["score"], NOW)


def test_a_link_to_the_file_stays_a_link(path: Path, key: str, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "keys.jsonl"
    link.parent.mkdir()
    link.symlink_to(path)
    keys = ApiKeys(link)
    main(["revoke", "engine", "--file", str(link)])
    assert link.is_symlink()
    assert keys.refresh()
    with pytest.raises(UnauthorizedError):
        keys.authenticate(bearer(key), None)


def test_a_write_that_was_cut_short_leaves_the_file_and_no_obstacle(path: Path, key: str) -> None:
    path.with_name(f".{path.name}.tmp").write_bytes(b"half a li")
    add(path, "other", ["score"], NOW)
    assert [entry.name for entry in read_key_file(path)[0]] == ["engine", "other"]
    assert [each.name for each in path.parent.iterdir()] == ["keys.jsonl"]


def test_of_adds_at_once_none_is_lost(path: Path) -> None:
    command = [sys.executable, "-m", "serving.access", "add"]
    options = ["--scopes", "score", "--file", str(path)]
    adding = [
        subprocess.Popen(
            [*command, f"caller-{number}", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in range(8)
    ]
    given_keys = [process.communicate(timeout=60)[0].decode().strip() for process in adding]
    keys = ApiKeys(path)
    names = {keys.authenticate(bearer(each), None).name for each in given_keys}
    assert names == {f"caller-{number}" for number in range(8)}
