"""Answering with a trained model: over HTTP, and whole files at once."""
