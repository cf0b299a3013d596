"""How a frame is made, and what runs on a rendering host."""
