"""The AceCode data pipeline: seed code, questions with tests, verified tests, samples, dataset, pairs, hard subset."""
