"""Writes the kernels' machine code beside this package's bytecode: ``python -m serving.scoring.compile_kernels``.

A step of the installation, by the account that may write the package; it takes 5 s. `serving.scoring.machine_code` says
what the files are. The command prints their paths.
"""

import sys

from serving.scoring import machine_code
from serving.scoring.margin import kernel as margin
from serving.scoring.shap import kernel as shap


def main() -> int:
    """Write the files that are missing or damaged."""
    for name, compiled in {**margin.COMPILED, **shap.COMPILED}.items():
        try:
            path = machine_code.store(name, compiled)
        except OSError as error:
            sys.stderr.write(
                f"Expected a folder that this account may write, got {error}. Run the command as the account that "
                "installed the package. Without the files every process compiles the kernels, which takes 3 s.\n"
            )
            return 1
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
