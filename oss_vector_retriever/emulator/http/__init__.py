"""HTTP before the service: where a request is for, what its body is, how it is answered."""
