"""A client that travels to another process, whose environment names another place."""

import pickle
import subprocess
import sys

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.pair import ClientPair

HERE = {
    "OSS_VECTORS_BUCKET": "herebucket",
    "OSS_ACCOUNT_ID": "1",
    "OSS_REGION": "cn-hangzhou",
    "OSS_VECTORS_INDEX": "here",
}
ELSEWHERE = {
    "OSS_VECTORS_BUCKET": "elsewhere",
    "OSS_ACCOUNT_ID": "2",
    "OSS_REGION": "cn-beijing",
    "OSS_VECTORS_INDEX": "elsewhere",
    "OSS_ENDPOINT": "http://127.0.0.1:9",
    "OSS_ACCESS_KEY_ID": "elsewhere-id",
    "OSS_ACCESS_KEY_SECRET": "elsewhere-secret",
}
SHOW = """
import pickle, sys
config = pickle.load(sys.stdin.buffer).config
print(config.bucket, config.account_id, config.region, config.index, config.endpoint)
print(config.credentials.resolve().access_key_id)
"""


@pytest.mark.parametrize("kind", [OSSVectorClient, AsyncOSSVectorClient, ClientPair])
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_it_points_where_it_pointed_with_the_other_processs_credentials(
    kind, protocol, monkeypatch
):
    for name, value in HERE.items():
        monkeypatch.setenv(name, value)
    packed = pickle.dumps(kind(), protocol)
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", SHOW], input=packed, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    place, credentials = done.stdout.decode().splitlines()
    assert place == "herebucket 1 cn-hangzhou here https://cn-hangzhou.oss-vectors.aliyuncs.com"
    assert credentials == "elsewhere-id"
