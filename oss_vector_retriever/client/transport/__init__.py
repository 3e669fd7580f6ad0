"""What does the steps of a flow and decides nothing; only here an HTTP library is imported."""
