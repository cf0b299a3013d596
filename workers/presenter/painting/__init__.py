"""The painting half of the training: from a template frame and six articulators to a picture."""
