"""Definition of the decision process: actions, reward, termination and observation."""
