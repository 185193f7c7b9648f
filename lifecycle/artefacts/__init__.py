"""Files named by their content: training sets, candidates, evidence and bundles."""
