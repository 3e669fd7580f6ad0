"""`python -m oss_vector_retriever`: the command line, where `oss-vectors` is not on the path."""

from .cli.main import main

if __name__ == "__main__":
    main()
