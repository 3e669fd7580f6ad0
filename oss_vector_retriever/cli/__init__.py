"""The command line `oss-vectors`. Needs the extra `cli`."""
