"""Pure verdicts about live traffic: drift, live performance and alerts."""
