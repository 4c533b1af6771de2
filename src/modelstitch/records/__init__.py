"""What is kept of one finished cell: one type, one reader, one writer. No torch."""
