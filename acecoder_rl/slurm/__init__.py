"""Runs on the nodes of a Slurm allocation: what slurm/*.sh start, one process a node.

Covers: `python -m acecoder_rl.slurm` (__main__.py), the first node, which leads (lead.py), the others (follow.py).
Does not cover: the training itself (acecoder_rl/training), submitting (slurm/).
"""
