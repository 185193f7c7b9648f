"""The table of settings in docs/serving.md, generated from the settings."""

from typing import Final

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


def main() -> None:
    """Write the table."""
    before, _, rest = MANUAL.read_text().partition(_BEGIN)
    MANUAL.write_text(before + _BEGIN + settings_table() + _END + rest.partition(_END)[2])


if __name__ == "__main__":
    main()
