"""Somebody else's folders, read into one description, and what is wrong with them."""
