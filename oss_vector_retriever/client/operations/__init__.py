"""The API operations: arguments to request, reply to result. One function each, named as the API.

Each takes the client's context first and returns a flow; both clients offer the same functions as
methods (`clients`), so their arguments and documentation are written here once.
"""
