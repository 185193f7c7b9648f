"""Pure functions about live traffic: drift, live performance, the day's verdict and its alerts."""
