"""Exact nearest neighbours over an index kept in memory."""
