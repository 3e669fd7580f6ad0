"""An index behind `oss-vectors serve`, a process of its own, and how programs are led to it."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from oss_vector_retriever import OSSVectorClient, emulator
from support.command_line import COMMAND

# for the environment of a program, which takes the endpoint and the index besides
IDENTITY = {
    "OSS_ACCESS_KEY_ID": emulator.DEVELOPMENT_ACCESS_KEY_ID,
    "OSS_ACCESS_KEY_SECRET": emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    "OSS_REGION": emulator.DEVELOPMENT_REGION,
    "OSS_ACCOUNT_ID": emulator.DEVELOPMENT_ACCOUNT_ID,
    "OSS_VECTORS_BUCKET": emulator.DEVELOPMENT_BUCKET,
}


@contextmanager
def serve_index(index: str, vectors: Iterable[Any], **described: Any) -> Iterator[str]:
    """Serve an index that holds some vectors, and yield the endpoint."""
    # Quick: what is searched right away is to be found.
    command = [COMMAND, "serve", "--port", "0", "--behaviour", "quick"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            client = OSSVectorClient(
                endpoint=found[0],
                bucket=emulator.DEVELOPMENT_BUCKET,
                account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
                region=emulator.DEVELOPMENT_REGION,
                index=index,
                credentials=(
                    emulator.DEVELOPMENT_ACCESS_KEY_ID,
                    emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
                ),
            )
            with client:
                client.put_vector_index(**described)
                client.upsert(vectors)
            yield found[0]
        finally:
            process.terminate()
