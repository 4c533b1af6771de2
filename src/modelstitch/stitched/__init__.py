"""The stitched model, saved, loaded, and measured as it stands."""
