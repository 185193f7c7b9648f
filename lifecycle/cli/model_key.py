"""`lifecycle model-key`: the public key with which OpenSSF's client verifies bundles."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lifecycle.cli.options import AsJson
from lifecycle.errors import LifecycleError


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("model-key")(model_key)


def model_key(
    bundle: Annotated[
        str | None,
        typer.Argument(help="Beginning of a bundle's digest: the key of its signature. Default: today's key."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print the public key (PEM, P-256) with which the client of OpenSSF Model Signing verifies a bundle's `model.sig`.

    `lifecycle model-key > model_public_key.pem`, then `model_signing verify key BUNDLE --signature BUNDLE/model.sig
    --public_key model_public_key.pem`. Give the key to the auditor by another way than the bundle.
    """
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import ensure_keys
    from lifecycle.signing.model_key import MODEL_PUBLIC_KEY_FILE, read_model_public_keys

    settings = Settings()
    keys = ensure_keys(settings)
    if bundle is None:
        hint, pem = keys.model_key.hint, keys.model_key.public_pem
    else:
        path = settings.keys_dir / MODEL_PUBLIC_KEY_FILE
        hint, known = _hint_of_bundle(settings.release_store, bundle), read_model_public_keys(path)
        if hint not in known:
            raise LifecycleError(
                f"Expected the public key {hint[:16]} of the bundle's signature, got {sorted(h[:16] for h in known)}; "
                f"append the rotated key from the backup - at {path}"
            )
        pem = known[hint]
    typer.echo(json.dumps({"public_key": pem.decode(), "hint": hint}) if as_json else pem.decode(), nl=as_json)


def _hint_of_bundle(store: Path, prefix: str) -> str:
    from lifecycle.artefacts.bundles import bundle_folder
    from lifecycle.releases.lookup import bundle_by_prefix
    from lifecycle.signing.model_signature import MODEL_SIGNATURE_FILE, hint_in

    path = bundle_folder(store, bundle_by_prefix(store, prefix)) / MODEL_SIGNATURE_FILE
    if not path.is_file():
        raise LifecycleError(
            f"Expected the file {MODEL_SIGNATURE_FILE}, found none: an earlier version sealed this bundle, and only "
            f"its manifest is signed - at {path.parent}"
        )
    return hint_in(path.read_bytes(), str(path))
