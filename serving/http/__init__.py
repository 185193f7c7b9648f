"""The HTTP interface: protocol, admission, routes and errors."""
