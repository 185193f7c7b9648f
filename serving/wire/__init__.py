"""Request and response formats on the wire."""
