"""What leaves the platform: candidates, evidence, registered versions, bundles, signatures and releases."""
