"""Training sets, fitting and evaluation: arrays and dataclasses in, values out; no I/O, no clock."""
