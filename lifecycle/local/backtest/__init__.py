"""Backtests: a model's procedure on many dates, in processes side by side; they register, release and alert nothing."""
