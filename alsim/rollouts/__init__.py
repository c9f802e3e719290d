"""Rollouts: complete episodes of a policy with simulated learners."""
