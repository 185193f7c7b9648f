"""The inference server: scores with whatever is released, records every decision, needs nothing of `lifecycle`."""
