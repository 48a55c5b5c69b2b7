"""Comparisons: methods × task settings × seeds on equal budgets, their statistics and their report."""
