"""The version, for the package, its user agent and its command line."""

__version__ = "0.1.0"
USER_AGENT = f"oss-vector-retriever/{__version__}"
