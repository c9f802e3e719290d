"""Training algorithms: networks with their gradients, the optimizer, and one file per algorithm."""
