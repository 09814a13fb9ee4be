"""Running on clusters and workstations: site settings, one writer a store, devices, dead controllers, progress."""
