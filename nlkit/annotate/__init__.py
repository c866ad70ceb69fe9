"""Annotators: who gives labels to texts, what they are asked, and where the answers are kept.

The public names are in `nlkit.annotators`.
"""
