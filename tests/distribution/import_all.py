"""Imports every module of the packages that its arguments name; exits with 1 and names the ones that fail."""

import importlib
import pkgutil
import sys

OPTIONAL = ("confluent_kafka", "fakesnow", "opentelemetry")
"""Packages of extras that an environment can lack."""


def failures(package: str) -> list[str]:
    """One line for each module that cannot be imported; a missing optional package is no failure."""
    lines = []
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except Exception as error:
            name = getattr(error, "name", None) or ""
            if not (isinstance(error, ModuleNotFoundError) and name.startswith(OPTIONAL)):
                lines.append(f"{module.name}: {type(error).__name__}: {error}")
    return lines


if __name__ == "__main__":
    sys.path.insert(0, ".")
    sys.exit("\n".join(line for package in sys.argv[1:] for line in failures(package)) or None)
