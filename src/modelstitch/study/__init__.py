"""A declared study: its spec, its plan of cells, the engine that runs them, and the store that keeps them."""
