"""The commands of `acecoder-rl`, one a file: their arguments and help. cli.py puts them together."""
