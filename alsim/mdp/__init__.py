"""Markov decision process: actions, reward, termination and observation."""
