"""Where samples come from: images, texts and tables in files and packages, one reader a file."""
