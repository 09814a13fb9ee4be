"""The attribution matrix: assembly, column moments, analyses."""
