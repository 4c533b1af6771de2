"""What every room stands on, and what knows nothing of networks: files, hashes, texts of others, what is shown."""
