"""Repairs the modes of an installation that was made by a program without our umask."""

from lifecycle.settings.platform import Settings
from serving.storage.private_files import is_open_to_others, make_private


def repair_home(settings: Settings, *, is_whole: bool = False) -> str | None:
    """Take the permissions of others from everything in the home; the message to print, ``None`` for no change.

    The keys are left as they are: a key that others could read is refused until a person has looked at it.

    Parameters
    ----------
    settings
        The installation; its folder may be missing.
    is_whole
        Look at every file. By default the home's own entries decide whether to look further.
    """
    home = settings.root
    if not home.is_dir() or not (is_whole or is_open_to_others(home)):
        return None
    repair = make_private(home, settings.keys_dir)
    lines = []
    if repair.files or repair.folders:
        lines.append(
            f"Closed {repair.files:,} files and {repair.folders:,} folders that other users had permissions on "
            f"(modes 0600 and 0700 now) - at {home}"
        )
    if repair.failed:
        lines.append(
            f"Warning: {len(repair.failed):,} paths that other users have permissions on could not be closed, "
            f"the first at {repair.failed[0]}; run as their owner `chmod -R go-rwx '{home}'`"
        )
    return "\n".join(lines) or None
