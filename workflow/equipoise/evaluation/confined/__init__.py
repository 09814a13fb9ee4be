"""What runs inside the sandbox: standard library only, imported before the doors close."""
