"""docs/serving.md: its examples, and its table of settings, which is generated from the settings."""

import itertools
import json
import re
from typing import Any, Final

from serving.settings import ServingSettings
from tests.harness.paths import ROOT

MANUAL: Final = ROOT / "docs/serving.md"
_BEGIN: Final = "<!-- settings -->\n"
_END: Final = "<!-- end of settings -->\n"


def settings_table() -> str:
    """Every setting with its default and description."""
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, field in ServingSettings.model_fields.items():
        default = "required" if field.is_required() else "" if field.default in {None, ()} else f"`{field.default}`"
        text = " ".join((field.description or "").replace("``", "`").split())
        lines.append(f"| `SERVING_{name.upper()}` | {default} | {text} |")
    return "\n".join(lines) + "\n"


def written_table() -> str:
    """The table in the manual."""
    return MANUAL.read_text().partition(_BEGIN)[2].partition(_END)[0]


def _blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", MANUAL.read_text(), re.MULTILINE | re.DOTALL)


def examples(address: str) -> list[tuple[str, str, Any]]:
    """Path, body and shown answer of each request by curl, all of which are to `address`."""
    found = []
    for (_, command), (_, answer) in itertools.pairwise(_blocks()):
        if "curl" in command:
            [path] = re.findall(rf"{re.escape(address)}(\S+)", command)
            [body] = re.findall(r"-d '(.*)'", command, re.DOTALL)
            found.append((path, body, json.loads(answer)))
    return found


def python_examples() -> list[str]:
    """The code in Python that sends a request."""
    return [code for kind, code in _blocks() if kind == "python" and "requests.post" in code]


def main() -> None:
    """Write the table."""
    before, _, rest = MANUAL.read_text().partition(_BEGIN)
    MANUAL.write_text(before + _BEGIN + settings_table() + _END + rest.partition(_END)[2])


if __name__ == "__main__":
    main()
