"""What `doctor --record` asks of an account's service, and how it is asked."""
