"""Subcommands of `equipoise`, grouped; heavy imports stand inside the commands."""
