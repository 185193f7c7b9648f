"""XGBoost's models without XGBoost: reading its JSON, and its trees as a forest that the compiled kernels walk."""
