"""What is generated is current."""

import generate_async_client


def test_the_async_clients_operations_are_those_of_the_blocking_client():
    """After a change of `OSSVectorClient`: make generate."""
    current = generate_async_client.TARGET.read_text(encoding="utf-8")
    assert current == generate_async_client.generate()
