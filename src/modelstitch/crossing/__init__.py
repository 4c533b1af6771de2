"""Every bottom layer into every top layer in closed form, from one pass."""
