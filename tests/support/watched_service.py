"""A service that notes what it is asked, and denies what a test wants denied."""

from oss_vector_retriever import emulator
from oss_vector_retriever.client.models.messages import Reply

DENIED = Reply(
    403,
    {"content-type": "application/xml"},
    b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
)


class Watched(emulator.Service):
    """Be the service, note the operations, and deny some of them."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []
        self.denied = set()

    def note_of(self, request):
        return request.query

    def handle(self, request):
        self.seen.append(self.note_of(request))
        return DENIED if request.query in self.denied else super().handle(request)
