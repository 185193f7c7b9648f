"""What the server reads from the release store: bundles, releases and signatures."""
