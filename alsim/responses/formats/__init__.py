"""Published response logs: one module per format, and the registry of all of them."""
