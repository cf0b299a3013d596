"""The arithmetic of one frame: NumPy and OpenCV only, values in, values out."""
