"""Checks logins: the local user or the script's user, with the password or with the endpoint's key."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from lifecycle.local.snowflake.answers import Refused
from lifecycle.local.snowflake.grants import Account
from lifecycle.local.snowflake.options import ACCOUNT, PASSWORD, USER, WAREHOUSE


def admit(data: dict[str, Any], role: str | None, account: Account, public_key: Path | None) -> str:
    """The role of an accepted login; `data` is the login request as the connector sends it.

    Raises
    ------
    Refused
        With an account's error, if the account, user, password, key or role is unknown.
    """
    if str(data.get("ACCOUNT_NAME", "")).lower() != ACCOUNT:
        # In the cloud the account name is part of the host name; under a wrong one only the proxy responds.
        raise Refused("390404", "Not Found", status=404)
    user = str(data.get("LOGIN_NAME", "")).upper()
    is_known = user in {USER.upper(), account.user}
    if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
        _check_key(str(data.get("TOKEN", "")), public_key if is_known else None, user)
    elif not is_known or data.get("PASSWORD") != PASSWORD:
        raise Refused("390100", "Incorrect username or password was specified.")
    name = (role or "PUBLIC").strip('"').upper()
    if not account.allows(name):
        raise Refused(
            "390189",
            f"Role '{name}' specified in the connect string does not exist or not authorized. Contact your local "
            "system administrator, or attempt to login with another role, e.g. PUBLIC.",
        )
    return name


def known_warehouse(name: str | None, account: Account) -> str | None:
    """The virtual warehouse; ``None`` if it does not exist, since an account accepts such a login without one."""
    upper = name.strip('"').upper() if name else None
    return upper if upper in account.warehouses | {WAREHOUSE} else None


def _check_key(token: str, public_key: Path | None, user: str) -> None:
    import jwt
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    if public_key is None:
        raise Refused("390144", "JWT token is invalid.")
    key = load_pem_public_key(public_key.read_bytes())
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    subject = f"{ACCOUNT.upper()}.{user}"
    try:
        claims = jwt.decode(token, public_key.read_bytes(), algorithms=["RS256"])
    except jwt.InvalidTokenError as error:
        raise Refused("390144", "JWT token is invalid.") from error
    if (claims["sub"], claims["iss"]) != (subject, f"{subject}.SHA256:{base64.b64encode(digest).decode()}"):
        raise Refused("390144", "JWT token is invalid.")
