import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.local.snowflake import running
from lifecycle.settings.platform import PROJECT_ROOT
from lifecycle.settings.snowflake import STEPS, SnowflakeSettings

GUIDE = (PROJECT_ROOT / "docs" / "snowflake.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
SLOW = ("lifecycle features build", "make snowflake-local")
"""Blocks that others' tests run: a build with dbt, and the endpoint, which the guide's other commands run against."""
PREFIX = "LIFECYCLE_SNOWFLAKE_"


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_guides_commands_lead_from_an_empty_account_to_rows_and_from_duckdb_there(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIFECYCLE_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment |= {"LIFECYCLE_HOME": str(tmp_path / "home"), "COLUMNS": "160"}
    key, settings, check, rows, *_, move = (block for block in BLOCKS if not block.startswith(SLOW))
    saved = 'export -p > "$PWD/exported"\n'
    printed = run(key + saved, tmp_path, environment).strip()
    assert re.fullmatch(r"MII[A-Za-z0-9+/]+=*", printed.splitlines()[-1])
    # The old installation, of which the last block moves the rows.
    in_duckdb = re.sub(r"load \$relation", "load --json $relation", rows)
    run(in_duckdb, tmp_path, environment | {"LIFECYCLE_TARGET": "duckdb"})
    with running(
        tmp_path / "account", arguments=("--enforce", "--public-key", str(tmp_path / "lifecycle.pub"))
    ) as local:
        ours = settings.replace("myorg-myaccount", "local")
        there = f"export {PREFIX}HOST=127.0.0.1 {PREFIX}PORT={local.port} {PREFIX}PROTOCOL=http\n"
        begun = f"source ./exported\n{ours}{there}"
        assert "has the grants it needs" in run(begun + check, tmp_path, environment)
        moved = run(begun + move, tmp_path, environment)
        assert "raw.card_transactions: 7,766 rows" in moved
        assert "raw.fraud_reports: 49 rows" in moved
        one = "lifecycle warehouse load fraud_reports simulated/fraud_reports\nlifecycle warehouse status\n"
        again = run(begun + one, tmp_path, environment)
        assert "49 rows read, 0 inserted, 49 known already" in again
        assert "7,766" in again
        assert "has the grants it needs" in run(begun + check, tmp_path, environment)


def test_every_setting_is_in_the_guides_table() -> None:
    table = [line.split(" | ")[0] for line in GUIDE.partition("## Settings")[2].splitlines() if line.startswith("| `")]
    named = set(
        re.findall(r"`([A-Z_]+)(?:<STEP>)?`", "".join(table[: table.index("| `HOST`, `PORT`, `PROTOCOL`") + 1]))
    )
    by_step = {f"{kind}_{step}".upper() for kind in ("role", "warehouse") for step in STEPS}
    expected = {name.upper() for name in SnowflakeSettings.model_fields} - by_step | {"ROLE_", "WAREHOUSE_"}
    assert named == expected


def test_the_guides_sums_are_right() -> None:
    sums = re.findall(r"(\d) x (\d+) / 3600 = ([\d.]+)", GUIDE)
    assert len(sums) == 4
    for rate, seconds, total in sums:
        assert round(int(rate) * int(seconds) / 3600, 3) == float(total)
    assert round(sum(float(total) for *_, total in sums), 2) == 0.30


def test_the_guide_links_to_files_that_are_there() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", GUIDE):
        assert (PROJECT_ROOT / "docs" / target).exists(), target
    for path in re.findall(r"`((?:lifecycle|deploy)/[\w./]+\.(?:py|sql))`", GUIDE):
        assert (PROJECT_ROOT / path).exists(), path
