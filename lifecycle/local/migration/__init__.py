"""Opens a home that an earlier version wrote: idempotent steps, and what stays as it is.

A step finds what is due without writing anything, so that a dry run and the notices of `lifecycle status` and
`lifecycle up` are the same reading. A step that was killed is still due, and the same command continues.
"""

from lifecycle.local.migration.kept import Kept, read_kept
from lifecycle.local.migration.plan import STEPS, migrate, migration_notice, read_plan
from lifecycle.local.migration.step import Finding, Step

__all__ = ["STEPS", "Finding", "Kept", "Step", "migrate", "migration_notice", "read_kept", "read_plan"]
