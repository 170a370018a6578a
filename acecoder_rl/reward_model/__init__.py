"""AceCodeRM: loading, scoring, serving, conversion and training of value-head reward models.

Covers: nothing by itself; import what you need from the modules. None of them is imported here: they need torch.
"""
