"""What runs in CoMLRL's environment too, and imports nothing of ours: the protocol, and CoMLRL's side."""
