"""Answers an auditor's questions about one decision from the decision log, bundles, releases and the ledger."""
