"""axonic: from a table to a tuned neural network."""
