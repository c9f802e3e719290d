"""Processor time until a policy is trained, by training loop: `python -m benchmarks.training_time`."""
