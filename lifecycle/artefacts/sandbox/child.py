"""Entry point of a sandbox's server: ``python -m serving``, which ends with its parent and then removes its folder.

Otherwise a killed run would leave a server and a folder with rows of the holdout.
"""

import functools
import runpy
import shutil
import sys

from lifecycle.settings.parent_watch import end_with_parent


def main() -> None:
    """Serve with the settings of the environment. Arguments: id of the parent process, folder of the sandbox."""
    parent, folder = sys.argv[1:]
    end_with_parent(int(parent), functools.partial(shutil.rmtree, folder, ignore_errors=True))
    del sys.argv[1:]
    runpy.run_module("serving", run_name="__main__")


if __name__ == "__main__":
    main()
