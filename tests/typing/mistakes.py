"""Never run: twelve mistakes that mypy and pyright must each refuse, at the line where they stand.

Misspelt options and wrong literals are what people write. A line that ends with `# mistake` must be
refused by both, and no other line by either.
"""

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient, langchain, llama_index


def of_clients(client: OSSVectorClient, async_client: AsyncOSSVectorClient) -> None:
    """Constructors and methods of both clients."""
    OSSVectorClient(bucket="x", timeout=3, retry=2, credentials=("id", "secret"))
    OSSVectorClient(buckt="x")  # mistake
    OSSVectorClient(retry="foo")  # mistake
    AsyncOSSVectorClient(credentials=5)  # mistake
    OSSVectorClient.local("vectors.db", timeout=3)
    OSSVectorClient.local(timeot=3)  # mistake
    client.with_options(timeout=3)
    client.with_options(timout=3)  # mistake
    client.stream(["a"], index="vectorindex1")
    client.stream(["a"], indx="vectorindex1")  # mistake
    async_client.stream(["a"], return_dta=True)  # mistake
    client.fetch(["a"], on_missing="raise")
    client.fetch(["a"], on_missing="rase")  # mistake


def of_adapters(client: OSSVectorClient) -> None:
    """Classes of both frameworks."""
    langchain.OSSVectorRetriever(client=client, index="vectorindex1", on_missing="raise")
    langchain.OSSVectorRetriever(client=client, embeding_key="embedding")  # mistake
    langchain.OSSVectorFetcher(client=client, on_missing="rase")  # mistake
    llama_index.OSSVectorStore(client, text_key="text")
    llama_index.OSSVectorRetriever(client, score_mode="rnk")  # mistake
    llama_index.OSSVectorStore(client, text_kye="text")  # mistake
