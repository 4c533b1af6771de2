"""What a page says in words, each sentence made from numbers."""
