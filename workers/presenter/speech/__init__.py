"""What the presenter says, in which voices, and what the mouth does meanwhile."""
