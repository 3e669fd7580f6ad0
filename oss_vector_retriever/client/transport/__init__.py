"""What does the steps of a flow: runners, connections, waiting. It decides nothing.

This folder is the only place that imports an HTTP library.
"""
