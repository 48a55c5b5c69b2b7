"""Writing tasks: two agents write two texts about one source, and the pair is judged together."""
