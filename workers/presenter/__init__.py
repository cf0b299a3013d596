"""The demo avatar's recipe: a presenter drawn by code, and two networks trained from nothing on synthetic speech."""
