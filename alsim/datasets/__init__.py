"""Datasets: schema, generation, storage and loading."""
