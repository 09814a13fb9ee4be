"""`python -m equipoise STAGE ...`, as the workflow's rules call it."""

from equipoise.cli import main

if __name__ == "__main__":
    main()
