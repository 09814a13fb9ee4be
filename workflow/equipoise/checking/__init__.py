"""What only a base itself can tell: tried before anything is paid for."""
