"""The embedded experiment: seven small skills, their pool, the shipped base model and the script that trains it."""
