"""The hearing half of the training: from sound to the six articulators of the mouth."""
