"""Experiments: methods side by side, recorded and resumed runs; your own data cleaned and reviewed."""
