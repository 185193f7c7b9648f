"""The whole loop on simulated transactions, from an empty folder to a retrained model under load."""
