"""Avatar packs: reading, importing, checking, drawing synthetic ones, keeping them warm."""
