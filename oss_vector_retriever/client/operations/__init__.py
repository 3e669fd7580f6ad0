"""The API operations: arguments to request, reply to result. One function each, named as the API.

Each takes the client's context first and returns a flow. Both clients offer them as methods of the
same name (`clients`), where their documentation stands.
"""
