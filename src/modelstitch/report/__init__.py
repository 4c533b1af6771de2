"""Records into a frame, figures, sentences and one inert page. Nothing here imports torch."""
