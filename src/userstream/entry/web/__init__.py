"""The HTTP door: the API, the live feed, and who may use them. Litestar and uvicorn are named in this folder alone."""
