"""Bias, variance, drift and cost of gradient estimators: exactly in a small game, by sampling for language models."""
