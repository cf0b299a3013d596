"""`lipsync doctor`: whether a host is fit to render, and what to change where it is not."""
