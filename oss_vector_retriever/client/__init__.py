"""The fetch-by-key client. It knows nothing of any framework."""
