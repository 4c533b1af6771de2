"""Pictures as SVG, one kind a file."""
