"""Files that outlive a job: manifests, fingerprints, gradient stores, their verification, one writer at a time."""
