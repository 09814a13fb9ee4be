"""What estimators of influence are worth: single optimizer steps, retrainings on subsets, and without the most helpful rows."""
