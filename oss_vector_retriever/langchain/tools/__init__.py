"""Tools with which an agent searches and fetches documents, ids always in sight."""
