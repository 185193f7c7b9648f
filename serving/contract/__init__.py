"""Documents shared by the platform and the server: bundles, releases, features and routing."""
