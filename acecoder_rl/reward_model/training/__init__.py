"""`acecoder-rl train-rm`: a reward model from preference pairs."""
