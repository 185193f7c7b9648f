"""Writes the kernels' machine code next to this package's bytecode: ``python -m serving.scoring.compile_kernels``.

A step of the installation, by the account that may write the package; it takes 5 s. `serving.scoring.machine_code` says
what the files are.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from serving.scoring import machine_code
from serving.scoring.margin import kernel as margin
from serving.scoring.shap import kernel as shap


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files that are missing or damaged, and print the paths of all."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.scoring.compile_kernels",
        description="Write the machine code of the kernels for this processor next to the package's bytecode. Run it "
        "after an installation or an update, on the kind of processor that will serve. Without the files every "
        "process compiles the kernels, which takes 3 s.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    try:
        files = [
            str(machine_code.store(name, compiled)) for name, compiled in {**margin.COMPILED, **shap.COMPILED}.items()
        ]
    except OSError as error:
        sys.stderr.write(
            f"Expected a folder that this account may write, got {error}. Run the command as the account that "
            "installed the package.\n"
        )
        return 1
    sys.stdout.write(json.dumps({"files": files}) + "\n" if options.json else "".join(f"{file}\n" for file in files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
