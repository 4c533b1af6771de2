"""Samples and labels: three splits that share no sample, handed out in batches."""
