"""Running on clusters and workstations: site settings, devices, dead controllers, progress."""
