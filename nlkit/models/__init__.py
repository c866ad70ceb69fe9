"""The text encoder with its activation cache, the small classifiers, batches and prediction."""
