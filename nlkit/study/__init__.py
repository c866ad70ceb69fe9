"""Experiments: methods side by side, finders of wrong labels, recorded and resumed runs."""
