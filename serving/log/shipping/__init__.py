"""Ships decision-log segments to external sinks: at least once, off the event loop, with a limit on the backlog."""
