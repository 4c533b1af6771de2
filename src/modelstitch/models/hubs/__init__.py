"""Other libraries' networks by their names there, one hub a file."""
