"""The benchmarks by name: their data, their prompts, their tests.

Covers: HumanEval, HumanEval+, MBPP, MBPP+, LiveCodeBench, BigCodeBench (load.py has the names).
Does not cover: asking models and judging (evaluation/evaluate.py).
"""
