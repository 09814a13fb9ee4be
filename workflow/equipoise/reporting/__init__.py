"""Scores, statistics, tables, figures and the page."""
