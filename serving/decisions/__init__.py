"""From a decoded request to a recorded decision."""
