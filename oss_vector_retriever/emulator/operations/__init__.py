"""The operations of the API, one function each, and the table that says how they are asked for."""
