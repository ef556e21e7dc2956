"""Models: weights from a verified cache (`weights`), and sessions that run them (`sessions`)."""
