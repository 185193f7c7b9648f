"""The only package that replaces, creates once, flushes or locks files; both packages use it."""
