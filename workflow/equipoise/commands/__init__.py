"""Subcommands of `equipoise`, grouped; heavy imports are inside the commands."""
