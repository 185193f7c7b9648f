"""Documents for people: the model card and the drift report."""
