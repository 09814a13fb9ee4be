"""What people bring, as records: files and forms in, one form of conversation out."""
