"""A service and its page of records on one port, as `oss-vectors serve` has them."""

import contextlib
import socket
import threading

from oss_vector_retriever.emulator.http.application import STUDIO_PATH, Application
from oss_vector_retriever.emulator.http.server import HttpServer
from oss_vector_retriever.studio import Studio

from .embedded import embedded


@contextlib.contextmanager
def serving_page(service, **options):
    """Serve, and give the endpoint and a blocking client of the same service."""
    with socket.create_server(("127.0.0.1", 0)) as listener, embedded(service) as client:
        page = Studio(client.to_async(), is_at_service=True, **options)
        application = Application(service, pages={STUDIO_PATH: page})
        server = HttpServer(application)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert server.ready.wait(20)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", client
        finally:
            server.end()
            thread.join()
            application.close()
