"""The routes: one HTTP noun a file."""
