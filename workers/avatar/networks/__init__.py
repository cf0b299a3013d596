"""The two networks: proved, written, and made of trained checkpoints."""
