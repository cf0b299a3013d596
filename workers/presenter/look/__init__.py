"""How the presenter is drawn: a picture for every pose and every mouth."""
