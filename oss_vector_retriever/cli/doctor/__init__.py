"""`oss-vectors doctor`: what stands between this machine and its vectors, and what to do."""
