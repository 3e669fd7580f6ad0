"""Packages of others that tests watch for: who imports them, and when."""

FRAMEWORKS = {
    "langchain": ("langchain", "langchain_core", "langchain_text_splitters", "langchain_classic"),
    "langgraph": ("langgraph",),
    "llama_index": ("llama_index", "llama_index_core"),
    "cli": ("click", "rich"),
    "ray": ("ray",),
    "emulator": ("uvicorn", "sqlite3"),
}
HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "aiohttp"}
SERVERS = {"uvicorn", "starlette", "socketserver", "http"}
