"""Champion, canary and shadow of each model: polling, loading, caching and swapping."""
