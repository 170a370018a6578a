"""`acecoder-rl bench`: figures of this machine, as ratios against rivals measured in the same run.

Covers: `sandbox` (sandbox.py), `reward` (reward.py).
Does not cover: rm and synthesis, which come with the parts they measure.
"""
