"""The commands that are no operation of the service, one module each, loaded when called."""
