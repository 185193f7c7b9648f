"""The decision log on its way elsewhere: at least once, off the event loop, with a declared limit."""
