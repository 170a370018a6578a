"""How good a model is: completions from a vLLM engine, judged in our sandbox, pass@k with intervals."""
