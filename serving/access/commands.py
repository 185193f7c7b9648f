"""``python -m serving.access``: add, list and revoke API keys."""

import argparse
import datetime as dt
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from serving.access.key_file import (
    SCOPES,
    KeyEntry,
    key_sha256,
    lock_keys,
    new_key,
    parse_line,
    read_key_file,
    write_key_file,
)
from serving.contract.documents import ContractError
from serving.storage.private_files import keep_files_private

FILE_VARIABLE: Final = "SERVING_API_KEYS"

_DESCRIPTION: Final = """\
Add, list and revoke the API keys of a scoring server.

The file holds names, scopes and hashes, never a key. A running server reloads it within seconds, without a restart. It
must have mode 0600 and belong to the server's user."""

_EPILOG: Final = """\
scopes:
  score     request decisions
  read      read models, metrics and documentation
  operate   control the server

to rotate a key:
  1. python -m serving.access add engine-2026-10 --scopes score --file keys.jsonl
  2. give the new key to the caller, and wait until decision records name it as caller
  3. python -m serving.access revoke engine-2026-07 --file keys.jsonl
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a failure prints one line and exits with code 1."""
    keep_files_private()
    chosen = _parser(os.environ.get(FILE_VARIABLE)).parse_args(arguments)
    path = Path(os.path.realpath(chosen.file))  # a link to the file stays a link
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    try:
        if chosen.command == "add":
            lifetime = None if chosen.expires_days is None else dt.timedelta(days=chosen.expires_days)
            _print_added(*add(path, chosen.name, chosen.scopes, now, lifetime), path, is_json=chosen.json)
        elif chosen.command == "revoke":
            _print(_described(revoke(path, chosen.name, now), now), f"Revoked {chosen.name}.", is_json=chosen.json)
        else:
            _print_all(read_key_file(path)[0], now, is_json=chosen.json)
    except ContractError as error:
        sys.exit(f"Error: {error}")


def add(
    path: Path, name: str, scopes: Sequence[str], now: dt.datetime, lifetime: dt.timedelta | None = None
) -> tuple[str, KeyEntry]:
    """Create a key and store its hash; returns the key, which is stored nowhere, and its entry.

    Raises
    ------
    ContractError
        If the name is invalid or was used before, or the file is invalid or cannot be written.
    """
    key = new_key()
    raw: dict[str, Any] = {"name": name, "key_sha256": key_sha256(key), "scopes": list(dict.fromkeys(scopes))}
    raw["created_at"] = now
    if lifetime is not None:
        raw["expires_at"] = now + lifetime
    entry = parse_line(msgspec.json.encode(raw), "the command line")
    with lock_keys(path):
        entries = read_key_file(path)[0] if path.exists() else ()
        if any(name == existing.name for existing in entries):
            raise ContractError(
                f"Expected a name that no current or revoked key has, because decision records name callers by it; "
                f"add a date, as in engine-{now:%Y-%m} - at {path}"
            )
        write_key_file(path, (*entries, entry))
    return key, entry


def revoke(path: Path, name: str, now: dt.datetime) -> KeyEntry:
    """Revoke a key; its line stays, with the time. Idempotent.

    Raises
    ------
    ContractError
        If no key has this name, or the file is invalid or cannot be written.
    """
    with lock_keys(path):
        entries = {entry.name: entry for entry in read_key_file(path)[0]}
        if name not in entries:
            raise ContractError(f"Expected one of the names {sorted(entries)} - at {path}")
        if entries[name].revoked_at is None:
            entries[name] = msgspec.structs.replace(entries[name], revoked_at=now)
            write_key_file(path, tuple(entries.values()))
    return entries[name]


def _parser(default_file: str | None) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--file",
        metavar="PATH",
        required=default_file is None,
        default=default_file,
        help=f"the API key file, created if missing (default: ${FILE_VARIABLE})",
    )
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    layout: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": _EPILOG}
    parser = argparse.ArgumentParser(prog="python -m serving.access", description=_DESCRIPTION, **layout)
    commands = parser.add_subparsers(dest="command", required=True, metavar="add|list|revoke")
    adding = commands.add_parser(
        "add",
        parents=[shared],
        help="create a key and print it once",
        description="Create a key and print it.",
        **layout,
    )
    adding.add_argument("name", metavar="NAME", help="the caller; decision records hold this name")
    adding.add_argument("--scopes", type=_scopes, required=True, metavar="SCOPE,...", help=f"{', '.join(SCOPES)}")
    adding.add_argument("--expires-days", type=_days, metavar="N", help="the key expires after N days (default: never)")
    commands.add_parser("list", parents=[shared], help="print names, scopes and states of all keys")
    revoking = commands.add_parser("revoke", parents=[shared], help="revoke a key at once")
    revoking.add_argument("name", metavar="NAME", help="the key's name, as `list` prints it")
    return parser


def _scopes(text: str) -> list[str]:
    scopes = text.split(",")
    if not set(scopes) <= set(SCOPES):
        raise argparse.ArgumentTypeError(f"Expected some of {','.join(SCOPES)}, separated by commas")
    return scopes


def _days(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 36_500):
        raise argparse.ArgumentTypeError("Expected a number of days from 1 to 36500")
    return int(text)


def _described(entry: KeyEntry, now: dt.datetime) -> dict[str, Any]:
    """One key for display, with only the start of its hash."""
    return {
        "name": entry.name,
        "state": entry.state(now),
        "scopes": entry.scopes,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "revoked_at": entry.revoked_at,
        "sha256_starts": entry.key_sha256[:8],
    }


def _print(document: Mapping[str, Any], text: str, *, is_json: bool) -> None:
    line = msgspec.json.encode(document).decode() if is_json else text
    sys.stdout.write(f"{line}\n")


def _print_added(key: str, entry: KeyEntry, path: Path, *, is_json: bool) -> None:
    now = entry.created_at
    if not is_json:
        # Not to standard output, which holds the key alone, so that it can be piped into a secret store.
        ends = f"valid until {entry.expires_at:%Y-%m-%d}" if entry.expires_at else "without expiry"
        sys.stderr.write(
            f"Added {entry.name} ({', '.join(entry.scopes)}), {ends}, to {path}.\n"
            "This is the only time that the key is shown; send it as `Authorization: Bearer <key>`:\n"
        )
        sys.stderr.flush()
    _print(_described(entry, now) | {"key": key}, key, is_json=is_json)


def _print_all(entries: Sequence[KeyEntry], now: dt.datetime, *, is_json: bool) -> None:
    described = [_described(entry, now) for entry in entries]
    rows = [("name", "state", "scopes", "created", "ends", "sha256")]
    for document, entry in zip(described, entries, strict=True):
        ends = entry.revoked_at or entry.expires_at
        rows.append(
            (
                entry.name,
                document["state"],
                ",".join(entry.scopes),
                f"{entry.created_at:%Y-%m-%d}",
                f"{ends:%Y-%m-%d}" if ends else "-",
                f"{document['sha256_starts']}…",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    _print({"keys": described}, "\n".join(lines), is_json=is_json)
