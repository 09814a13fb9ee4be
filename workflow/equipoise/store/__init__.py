"""Files that outlive a job: manifests, fingerprints, gradient stores and their verification."""
