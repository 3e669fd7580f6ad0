"""The pumps: they do what a flow asks, with an HTTP library or in process, and decide nothing.

This folder is the only place that imports an HTTP library.
"""
