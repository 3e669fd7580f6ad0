"""The demonstration: real documents and embeddings, fetched by key three ways."""
