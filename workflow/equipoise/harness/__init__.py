"""What validation sets and evaluation share of lm-eval: its task objects, and their documents as evaluated."""
