"""clients/openapi.json: the part of the OpenAPI document that every server shares, made from the routes."""

import json
import tempfile
from pathlib import Path
from typing import Final

from serving.process.app import create_app
from serving.process.openapi import contract
from tests.harness.api import settings_of
from tests.harness.paths import ROOT
from tests.harness.small_models import SmallStore

CONTRACT: Final = ROOT / "clients/openapi.json"


def contract_text() -> str:
    """The contract as the file holds it."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(settings_of(SmallStore.under(Path(folder))))
        return json.dumps(contract(app.routes), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the contract."""
    CONTRACT.write_text(contract_text())


if __name__ == "__main__":
    main()
