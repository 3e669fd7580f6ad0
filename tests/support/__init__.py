"""Helpers shared by the tests: servers that speak, and misspeak, HTTP over real sockets."""
