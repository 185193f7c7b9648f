"""dbt's documentation of the project as one HTML page: models, columns, tests, and the graph."""

import json
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.features.dbt import run_dbt
from lifecycle.features.manifest import ensure_project, reuse_parsing
from lifecycle.features.project import TRANSFORM, dbt_state_dir
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use, open_warehouse
from serving.storage.durable import write_file


def docs_path(settings: Settings) -> Path:
    """Path of the page."""
    return settings.reports_dir / "dbt" / "index.html"


def write_docs(settings: Settings, use: Use = TRANSFORM) -> Path:
    """Run ``dbt docs generate`` and write its page: one file (3 MB) that needs no network and no server.

    Raises
    ------
    LifecycleError
        If dbt fails, or a setting of the Snowflake account is missing or wrong.
    """
    target_path = dbt_state_dir(settings) / "docs"
    with open_warehouse(settings, use).exclusive("documenting the features"):
        project = ensure_project(settings).folder
        reuse_parsing(settings, target_path)
        run = run_dbt(settings, ["docs", "generate"], target_path=target_path, use=use, project=project)
    run.expect_success("to document the features")
    write_file(docs_path(settings), _one_page(target_path).encode())
    return docs_path(settings)


def _one_page(target_path: Path) -> str:
    """Dbt's page with inlined data, as ``--static`` writes it, but without unit tests, which would fill the graph."""
    page = (target_path / "index.html").read_text()
    manifest = json.loads((target_path / "manifest.json").read_text())
    manifest["unit_tests"] = {}
    for relatives in ("parent_map", "child_map"):
        manifest[relatives] = {
            node: [other for other in others if not _is_unit_test(other)]
            for node, others in manifest[relatives].items()
            if not _is_unit_test(node)
        }
    data = {"MANIFEST": json.dumps(manifest), "CATALOG": (target_path / "catalog.json").read_text()}
    for name, text in data.items():
        place = f'"{name}.JSON INLINE DATA"'
        if place not in page:
            raise LifecycleError(f"Expected the placeholder {place} in dbt's page, found none - in {target_path}")
        page = page.replace(place, text)
    return page


def _is_unit_test(unique_id: str) -> bool:
    return unique_id.startswith("unit_test.")
