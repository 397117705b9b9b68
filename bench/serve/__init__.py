"""The service under load: `python -m bench.serve.load`, `.attack`, `.kill`."""
